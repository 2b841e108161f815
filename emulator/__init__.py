"""The emulator: Teltonika devices that drive, send, and send again what was not acknowledged."""

from teltonika.emulator.assemble import assemble_device
from teltonika.emulator.device import Device, DeviceState
from teltonika.emulator.drive import Drive
from teltonika.emulator.events import AckRefused, DeviceEvent, ImeiAccepted, PacketDelivered
from teltonika.emulator.link import DeviceLink
from teltonika.emulator.observer import DeviceObserver
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.settings import EmulatorSettings

__all__ = [
    "AckRefused",
    "Device",
    "DeviceEvent",
    "DeviceLink",
    "DeviceObserver",
    "DeviceReport",
    "DeviceState",
    "Drive",
    "EmulatorSettings",
    "ImeiAccepted",
    "PacketDelivered",
    "assemble_device",
]
