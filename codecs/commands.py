"""The message codecs' common machinery: commands to a device, its answers, and texts it sends.

Codecs 12 to 15 differ in three facts: whether a timestamp and an IMEI stand before the text, and
which types of message they know. The files `codec12` to `codec15` state them.

A data field is: codec id, quantity 1, type, size (4), content, quantity 2 (Teltonika Data Sending
Protocols, "Communication with GPRS commands"). The content is timestamp (4) and IMEI (8), where the
codec has them, and text. There is always one message, whatever the quantities say: they are read
over.
"""

import struct
from collections.abc import Collection
from enum import IntEnum

import msgspec

from teltonika.codecs.errors import CommandError, EncodeError, ErrorCode
from teltonika.codecs.handshake import IMEI_DIGITS, parse_imei

_HEAD = struct.Struct(">BBBI")  # codec id, quantity 1, type, size
_TYPE_AT = 2
_SIZE_AT = 3
_QUANTITY_SIZE = 1
_IMEI_SIZE = 8
_TIMESTAMP_SIZE = 4
_MAX_TIMESTAMP_S = 2**32 - 1


class MessageType(IntEnum):
    """What a message is."""

    COMMAND = 0x05
    RESPONSE = 0x06
    SERIAL = 0x0B
    """Codec 15: what came in on a device's RS-232 port."""
    NACK = 0x11
    """Codec 14: the command named another IMEI than the device's."""


class CommandMessage(msgspec.Struct, frozen=True, gc=False):
    """One message of codec 12, 13, 14 or 15, in either direction."""

    codec_id: int
    type: MessageType
    content: bytes
    """The text as it came: ASCII as a rule, but passed-through serial data can be any bytes."""
    imei: str | None = None
    """Codecs 14 and 15 only: 15 digits."""
    timestamp_s: int | None = None
    """Codecs 13 and 15 only: seconds since 1970-01-01 UTC; 0 to 2^32 - 1."""

    @property
    def text(self) -> str:
        r"""The content for a person: what is not UTF-8 is written as ``\xff``."""
        return self.content.decode("utf-8", "backslashreplace")


class CommandCodec:
    """One of the message codecs: a packet's data field to its message, and back."""

    def __init__(
        self,
        codec_id: int,
        name: str,
        *,
        types: Collection[MessageType],
        timestamp: bool = False,
        imei: bool = False,
    ) -> None:
        self.codec_id = codec_id
        self.name = name
        self._types = frozenset(types)
        self._has_timestamp = timestamp
        self._has_imei = imei

    def __repr__(self) -> str:
        return f"<CommandCodec {self.name} (0x{self.codec_id:02X})>"

    def command(self, text: str, imei: str) -> CommandMessage:
        """The command ``text`` to the device ``imei``. Raises EncodeError if it is not ASCII."""
        try:
            content = text.encode("ascii")
        except UnicodeEncodeError as error:
            raise EncodeError(
                "content", f"a command is ASCII text: {text[error.start]!r} is not"
            ) from None
        return CommandMessage(
            self.codec_id, MessageType.COMMAND, content, imei if self._has_imei else None
        )

    def answer(self, command: CommandMessage, content: bytes) -> CommandMessage:
        """What the device that got ``command`` answers."""
        return CommandMessage(self.codec_id, MessageType.RESPONSE, content, command.imei)

    def text(self, content: bytes, imei: str, timestamp_s: int) -> CommandMessage:
        """What the device ``imei`` says unasked. Raises EncodeError for a codec of commands."""
        if not self._has_timestamp:
            raise EncodeError("type", f"codec {self.name} is for commands and their answers")
        (text_type,) = self._types
        return CommandMessage(
            self.codec_id, text_type, content, imei if self._has_imei else None, timestamp_s
        )

    def decode_data(self, data: bytes, offset: int = 0) -> CommandMessage:
        """The message in a data field. ``offset`` is added to an error's own.

        Raises CommandError: ``truncated``, ``size_mismatch``, ``unknown_type``, ``imei_digits``.
        """
        content_end = len(data) - _QUANTITY_SIZE
        if content_end < _HEAD.size:
            raise CommandError(
                ErrorCode.TRUNCATED,
                offset + len(data),
                f"the message ends at byte {offset + len(data)}: expected at least "
                f"{_HEAD.size + _QUANTITY_SIZE} bytes, found {len(data)}",
                expected=_HEAD.size + _QUANTITY_SIZE,
                found=len(data),
            )
        _, _, message_type, size = _HEAD.unpack_from(data)
        if message_type not in self._types:
            known = ", ".join(f"0x{known_type:02X}" for known_type in sorted(self._types))
            at = offset + _TYPE_AT
            raise CommandError(
                ErrorCode.UNKNOWN_TYPE,
                at,
                f"message type at byte {at}: expected one of {known}, found 0x{message_type:02X}",
                expected=known,
                found=message_type,
            )
        if size != content_end - _HEAD.size:
            at = offset + _SIZE_AT
            raise CommandError(
                ErrorCode.SIZE_MISMATCH,
                at,
                f"message size at byte {at}: it says {size}, the packet holds "
                f"{content_end - _HEAD.size}",
                expected=content_end - _HEAD.size,
                found=size,
            )
        position, imei, timestamp_s = _HEAD.size, None, None
        if self._has_timestamp:
            timestamp = data[position : min(position + _TIMESTAMP_SIZE, content_end)]
            _check_whole(timestamp, _TIMESTAMP_SIZE, "the timestamp", offset + position)
            timestamp_s = int.from_bytes(timestamp)
            position += _TIMESTAMP_SIZE
        if self._has_imei:
            packed = data[position : min(position + _IMEI_SIZE, content_end)]
            imei = _decode_packed_imei(packed, offset + position)
            position += _IMEI_SIZE
        return CommandMessage(
            self.codec_id,
            MessageType(message_type),
            data[position:content_end],
            imei,
            timestamp_s,
        )

    def encode_data(self, message: CommandMessage) -> bytes:
        """The data field that holds ``message``. Raises EncodeError."""
        if message.codec_id != self.codec_id or message.type not in self._types:
            raise EncodeError("type", f"{self!r} has no place for {message!r}")
        if self._has_imei != (message.imei is not None):
            needs = "needs an IMEI" if self._has_imei else "has no place for an IMEI"
            raise EncodeError("imei", f"codec {self.name} {needs}")
        if self._has_timestamp != (message.timestamp_s is not None):
            needs = "needs a timestamp" if self._has_timestamp else "has no place for a timestamp"
            raise EncodeError("timestamp_s", f"codec {self.name} {needs}")
        body = message.content
        if message.imei is not None:
            body = _encode_packed_imei(message.imei) + body
        if message.timestamp_s is not None:
            if not 0 <= message.timestamp_s <= _MAX_TIMESTAMP_S:
                raise EncodeError(
                    "timestamp_s",
                    f"timestamp_s is {message.timestamp_s}; it holds 0 to {_MAX_TIMESTAMP_S}",
                )
            body = message.timestamp_s.to_bytes(_TIMESTAMP_SIZE) + body
        return _HEAD.pack(self.codec_id, 1, message.type, len(body)) + body + b"\x01"


def _check_whole(field: bytes, size: int, what: str, offset: int) -> None:
    if len(field) < size:
        raise CommandError(
            ErrorCode.TRUNCATED,
            offset + len(field),
            f"{what} ends at byte {offset + len(field)}: expected {size} bytes, found {len(field)}",
            expected=size,
            found=len(field),
        )


def _decode_packed_imei(packed: bytes, offset: int) -> str:
    """The IMEI in 8 bytes: a zero, then 15 digits, two in a byte."""
    _check_whole(packed, _IMEI_SIZE, "the IMEI", offset)
    digits = packed.hex()
    if not digits.isdigit() or digits[0] != "0":
        raise CommandError(
            ErrorCode.IMEI_DIGITS,
            offset,
            f"IMEI at byte {offset}: expected a zero and {IMEI_DIGITS} digits, found {digits}",
            expected=f"0 and {IMEI_DIGITS} digits",
            found=digits,
        )
    return digits[1:]


def _encode_packed_imei(imei: str) -> bytes:
    try:
        return bytes.fromhex(f"0{parse_imei(imei)}")
    except ValueError as error:
        raise EncodeError("imei", str(error)) from None
