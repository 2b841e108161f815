"""What a device learns from the server's bytes, and does: small immutable values."""

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


class BytesAnswered(msgspec.Struct, frozen=True):
    """The ACK of bytes that were sent as they are: right, whatever number it has."""

    record_count: int


class CommandExecuted(msgspec.Struct, frozen=True):
    """The device did what the command said."""

    text: str
    answer: bytes
    """The whole frame that the server is to get; empty where the command has no answer."""


class CommandRefused(msgspec.Struct, frozen=True):
    """A command that named another IMEI: not executed."""

    text: str
    nack: bytes
    """The whole frame that the server is to get."""


class CommandIgnored(msgspec.Struct, frozen=True):
    """A command that the device does not know: it does nothing, and answers nothing."""

    text: str


class Restarted(msgspec.Struct, frozen=True):
    """The device starts again: it leaves this connection, and takes a while to come back."""


class RecordsDeleted(msgspec.Struct, frozen=True):
    """The device was told to forget the records that are due and not sent: `DeviceMachine.skip`."""


DeviceEvent = (
    ImeiAccepted
    | PacketDelivered
    | AckRefused
    | BytesAnswered
    | CommandExecuted
    | CommandRefused
    | CommandIgnored
    | Restarted
    | RecordsDeleted
)
