"""Who watches a device while it runs: a live view, a log, a test."""

from teltonika.emulator.emulated_device import EmulatedDevice


class DeviceObserver:
    """Told of what happens on a device's link, at once and in order. Does nothing with it.

    A subclass overrides what it is interested in, and returns soon: it is called from the event
    loop. ``device.report`` has the counts so far.
    """

    def connected(self, device: EmulatedDevice) -> None:
        """The server accepted the IMEI; over UDP, its first datagram."""

    def acknowledged(self, device: EmulatedDevice, packet: bytes, latency_s: float) -> None:
        """The server acknowledged ``packet``, ``latency_s`` after its last copy was written."""

    def ack_refused(self, device: EmulatedDevice, expected: int, found: int) -> None:
        """An ACK of ``found`` records where ``expected`` were in flight: it counts for nothing."""

    def command_executed(self, device: EmulatedDevice, text: str) -> None:
        """The device did what the command ``text`` said; its answer, if any, is on its way."""

    def command_ignored(self, device: EmulatedDevice, text: str, reason: str) -> None:
        """The device did nothing about the command ``text``."""

    def disconnected(self, device: EmulatedDevice, reason: str, retry_in_s: float) -> None:
        """There is no connection, or none any more; the next attempt comes in ``retry_in_s``."""
