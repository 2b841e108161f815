"""The emulator: Teltonika devices that drive, send, send again what was not
acknowledged, and answer commands."""

from teltonika.codecs.transport import Transport
from teltonika.emulator.answers import AnswerFault, AnswerQueue
from teltonika.emulator.assemble import assemble_device
from teltonika.emulator.device import Device
from teltonika.emulator.device_errors import (
    DeviceError,
    ImeiRejectedError,
    NoAnswerError,
    NotConnectedError,
    WrongAckError,
)
from teltonika.emulator.device_fleet import DeviceFleet
from teltonika.emulator.drive import Drive
from teltonika.emulator.emulated_device import DeviceState, EmulatedDevice
from teltonika.emulator.events import (
    AckRefused,
    BytesAnswered,
    CommandExecuted,
    CommandIgnored,
    CommandRefused,
    DeviceEvent,
    ImeiAccepted,
    PacketDelivered,
    RecordsDeleted,
    Restarted,
)
from teltonika.emulator.faults import Fault, FaultPlan
from teltonika.emulator.faulty_link import FaultyLink
from teltonika.emulator.fleet import Fleet, FleetCounts
from teltonika.emulator.fleet_processes import FleetProcesses
from teltonika.emulator.geofence import Geofence
from teltonika.emulator.link import DeviceLink
from teltonika.emulator.machine import DeviceMachine
from teltonika.emulator.mover import Mover
from teltonika.emulator.observer import DeviceObserver
from teltonika.emulator.outputs import DigitalOutput
from teltonika.emulator.recording import Recorder, Recording
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.routes import Route, RouteError, RouteOffset
from teltonika.emulator.settings import ACK_TIMEOUT_S, EmulatorSettings
from teltonika.emulator.tls import TlsSettings
from teltonika.emulator.udp_machine import UdpMachine
from teltonika.emulator.unit import Answers, Unit

__all__ = [
    "ACK_TIMEOUT_S",
    "AckRefused",
    "AnswerFault",
    "AnswerQueue",
    "Answers",
    "BytesAnswered",
    "CommandExecuted",
    "CommandIgnored",
    "CommandRefused",
    "Device",
    "DeviceError",
    "DeviceEvent",
    "DeviceFleet",
    "DeviceLink",
    "DeviceMachine",
    "DeviceObserver",
    "DeviceReport",
    "DeviceState",
    "DigitalOutput",
    "Drive",
    "EmulatedDevice",
    "EmulatorSettings",
    "Fault",
    "FaultPlan",
    "FaultyLink",
    "Fleet",
    "FleetCounts",
    "FleetProcesses",
    "Geofence",
    "ImeiAccepted",
    "ImeiRejectedError",
    "Mover",
    "NoAnswerError",
    "NotConnectedError",
    "PacketDelivered",
    "Recorder",
    "Recording",
    "RecordsDeleted",
    "Restarted",
    "Route",
    "RouteError",
    "RouteOffset",
    "TlsSettings",
    "Transport",
    "UdpMachine",
    "Unit",
    "WrongAckError",
    "assemble_device",
]
