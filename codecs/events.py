"""What happens on a session, as seen from each of its two ends: small immutable values."""

import msgspec

from teltonika.codecs.errors import CrcMismatchError, DecodeError
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
    size: int
    """Bytes of the packet on the wire."""


class FrameSkipped(msgspec.Struct, frozen=True, gc=False):
    """A whole packet of a codec that is known and not decoded yet. It is not to be acknowledged."""

    error: DecodeError


class PingReceived(msgspec.Struct, frozen=True, gc=False):
    """A single ``FF`` between packets. It is not to be answered."""


class CrcFailed(msgspec.Struct, frozen=True, gc=False):
    """A whole packet with a wrong CRC: not to be acknowledged; the stream goes on behind it."""

    error: CrcMismatchError


class ProtocolViolation(msgspec.Struct, frozen=True, gc=False):
    """The device sent what the protocol does not allow. The last event of its connection."""

    error: DecodeError


FrameEvent = ImeiReceived | FrameReceived | PingReceived | CrcFailed | ProtocolViolation
ServerEvent = (
    ImeiReceived | AvlPacketReceived | FrameSkipped | PingReceived | CrcFailed | ProtocolViolation
)


class HandshakeAnswered(msgspec.Struct, frozen=True, gc=False):
    """The server's byte after the IMEI. After a rejection the server closes the connection."""

    accepted: bool


class PacketAcknowledged(msgspec.Struct, frozen=True, gc=False):
    """The server's four bytes after a packet: how many AVL records it accepted."""

    accepted: int


DeviceEvent = HandshakeAnswered | PacketAcknowledged | ProtocolViolation
