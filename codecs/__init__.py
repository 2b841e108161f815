"""Teltonika's wire protocol, sans-IO: bytes to records and back.

Nothing in this package opens a socket, reads a clock or writes a file. The names below are
its public face; everything else is an internal of the module it stands in.
"""

from teltonika.codecs.avl import AvlCodec
from teltonika.codecs.commands import CommandCodec, CommandMessage, MessageType
from teltonika.codecs.connection import ConnectionState, DeviceConnection, ServerConnection
from teltonika.codecs.crc import crc16_ibm
from teltonika.codecs.errors import (
    CommandError,
    CrcMismatchError,
    DecodeError,
    DecodeFailure,
    EncodeError,
    ErrorCode,
    FramingError,
    RecordError,
    TeltonikaError,
    TlsError,
    UnknownCodecError,
)
from teltonika.codecs.events import (
    AvlPacketReceived,
    CommandReceived,
    CommandResponseReceived,
    CrcFailed,
    DeviceEvent,
    FrameSkipped,
    HandshakeAnswered,
    ImeiReceived,
    PacketAcknowledged,
    PingReceived,
    ProtocolViolation,
    ServerEvent,
)
from teltonika.codecs.framing import MAX_PACKET_SIZE, decode_packet, encode_message, encode_packet
from teltonika.codecs.handshake import (
    consecutive_imeis,
    decode_imei,
    encode_imei,
    luhn_check_digit,
    luhn_valid,
    parse_imei,
)
from teltonika.codecs.io_meaning import IoMeaning, describe, describe_record
from teltonika.codecs.records import (
    AvlPacket,
    AvlRecord,
    GenerationType,
    IoElement,
    IoElements,
    Priority,
)
from teltonika.codecs.registry import (
    AVL_CODECS,
    CODECS,
    COMMAND_CODECS,
    MESSAGE_CODECS,
    TEXT_CODECS,
    CodecRegistry,
)

__all__ = [
    "AVL_CODECS",
    "CODECS",
    "COMMAND_CODECS",
    "MAX_PACKET_SIZE",
    "MESSAGE_CODECS",
    "TEXT_CODECS",
    "AvlCodec",
    "AvlPacket",
    "AvlPacketReceived",
    "AvlRecord",
    "CodecRegistry",
    "CommandCodec",
    "CommandError",
    "CommandMessage",
    "CommandReceived",
    "CommandResponseReceived",
    "ConnectionState",
    "CrcFailed",
    "CrcMismatchError",
    "DecodeError",
    "DecodeFailure",
    "DeviceConnection",
    "DeviceEvent",
    "EncodeError",
    "ErrorCode",
    "FrameSkipped",
    "FramingError",
    "GenerationType",
    "HandshakeAnswered",
    "ImeiReceived",
    "IoElement",
    "IoElements",
    "IoMeaning",
    "MessageType",
    "PacketAcknowledged",
    "PingReceived",
    "Priority",
    "ProtocolViolation",
    "RecordError",
    "ServerConnection",
    "ServerEvent",
    "TeltonikaError",
    "TlsError",
    "UnknownCodecError",
    "consecutive_imeis",
    "crc16_ibm",
    "decode_imei",
    "decode_packet",
    "describe",
    "describe_record",
    "encode_imei",
    "encode_message",
    "encode_packet",
    "luhn_check_digit",
    "luhn_valid",
    "parse_imei",
]
