"""What a device learns from the server's bytes: small immutable values."""

import msgspec


class ImeiAccepted(msgspec.Struct, frozen=True):
    """The server takes this device's records."""


class PacketDelivered(msgspec.Struct, frozen=True):
    """The packet in flight was acknowledged in full: the device has forgotten its records."""

    packet: bytes
    record_count: int


class AckRefused(msgspec.Struct, frozen=True):
    """An ACK that acknowledges nothing: not the number of records in the packet in flight.

    ``expected`` is that number, 0 where no packet was in flight.
    """

    expected: int
    found: int


DeviceEvent = ImeiAccepted | PacketDelivered | AckRefused
