"""What happens on a session, as seen from each of its two ends: small immutable values."""

import msgspec

from teltonika.codecs.commands import CommandMessage
from teltonika.codecs.errors import DecodeFailure
from teltonika.codecs.records import AvlPacket


class ImeiReceived(msgspec.Struct, frozen=True, gc=False):
    """The device said who it is; it waits for `ServerConnection.accept` or ``reject``."""

    imei: str
    luhn_valid: bool


class FrameReceived(msgspec.Struct, frozen=True, gc=False):
    """A whole TCP packet with a right CRC; its data field is not decoded yet."""

    data: bytes


class AvlPacketReceived(msgspec.Struct, frozen=True, gc=False):
    """A whole, checked, decoded AVL packet; the device waits for its acknowledgement."""

    packet: AvlPacket


class CommandResponseReceived(msgspec.Struct, frozen=True, gc=False):
    """What a device sent in a message codec: an answer, a nACK, or text that nobody asked for.

    Nothing in it says which command it answers. It is not to be acknowledged.
    """

    message: CommandMessage


class FrameSkipped(msgspec.Struct, frozen=True, gc=False):
    """A whole packet that cannot be understood, and need not be: nothing waits for its ACK.

    A frame of a message codec whose inside is wrong.
    """

    error: DecodeFailure


class PingReceived(msgspec.Struct, frozen=True, gc=False):
    """``count`` bytes ``FF`` in a row, between packets. They are not to be answered."""

    count: int = 1


class CrcFailed(msgspec.Struct, frozen=True, gc=False):
    """A whole packet with a wrong CRC: not to be acknowledged; the stream goes on after it."""

    error: DecodeFailure


class ProtocolViolation(msgspec.Struct, frozen=True, gc=False):
    """The device sent what the protocol does not allow. The last event of its connection."""

    error: DecodeFailure


FrameEvent = ImeiReceived | FrameReceived | PingReceived | CrcFailed | ProtocolViolation
ServerEvent = (
    ImeiReceived
    | AvlPacketReceived
    | CommandResponseReceived
    | FrameSkipped
    | PingReceived
    | CrcFailed
    | ProtocolViolation
)


class HandshakeAnswered(msgspec.Struct, frozen=True, gc=False):
    """The server's byte after the IMEI. After a rejection the server closes the connection."""

    accepted: bool


class PacketAcknowledged(msgspec.Struct, frozen=True, gc=False):
    """The server's four bytes after a packet: how many AVL records it accepted."""

    accepted: int


class CommandReceived(msgspec.Struct, frozen=True, gc=False):
    """The server sent a message, as a rule a command, which is answered in its own codec."""

    message: CommandMessage


DeviceEvent = (
    HandshakeAnswered
    | PacketAcknowledged
    | CommandReceived
    | FrameSkipped
    | CrcFailed
    | ProtocolViolation
)
