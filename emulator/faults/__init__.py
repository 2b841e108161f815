"""What goes wrong on purpose: with a device's packets, with its connections, with itself."""

from teltonika.emulator.faults.datagram_line import DatagramFaultLine
from teltonika.emulator.faults.line import FaultLine
from teltonika.emulator.faults.plan import Fault, FaultPlan, parse_faults

__all__ = ["DatagramFaultLine", "Fault", "FaultLine", "FaultPlan", "parse_faults"]
