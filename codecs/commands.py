"""The command codecs' common machinery: GPRS messages to a device, and what it answers.

Codecs 12 and 14 differ in two facts: whether an IMEI stands before the text, and which types of
message they know. The files `codec12` and `codec14` state them.

A data field is: codec id, quantity 1, type, size (4), content, quantity 2 (Teltonika Data Sending
Protocols, "Communication with GPRS commands"). There is always one message, whatever the
quantities say: they are read over.
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


class MessageType(IntEnum):
    """What a message is."""

    COMMAND = 0x05
    RESPONSE = 0x06
    NACK = 0x11
    """Codec 14: the command named another IMEI than the device's."""


class CommandMessage(msgspec.Struct, frozen=True, gc=False):
    """One message of a command codec, in either direction."""

    codec_id: int
    type: MessageType
    content: bytes
    """The text as it came: ASCII as a rule, but passed-through serial data can be any bytes."""
    imei: str | None = None
    """Codec 14 only: 15 digits."""

    @property
    def text(self) -> str:
        r"""The content for a person: what is not UTF-8 is written as ``\xff``."""
        return self.content.decode("utf-8", "backslashreplace")


class CommandCodec:
    """One of the command codecs: a packet's data field to its message, and back."""

    def __init__(
        self, codec_id: int, name: str, *, types: Collection[MessageType], imei: bool
    ) -> None:
        self.codec_id = codec_id
        self.name = name
        self._types = frozenset(types)
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
        content_start, imei = _HEAD.size, None
        if self._has_imei:
            imei = _decode_packed_imei(data[_HEAD.size : content_end], offset + _HEAD.size)
            content_start += _IMEI_SIZE
        return CommandMessage(
            self.codec_id, MessageType(message_type), data[content_start:content_end], imei
        )

    def encode_data(self, message: CommandMessage) -> bytes:
        """The data field that holds ``message``. Raises EncodeError."""
        if message.codec_id != self.codec_id or message.type not in self._types:
            raise EncodeError("type", f"{self!r} has no place for {message!r}")
        if self._has_imei != (message.imei is not None):
            needs = "needs an IMEI" if self._has_imei else "has no place for an IMEI"
            raise EncodeError("imei", f"codec {self.name} {needs}")
        body = message.content
        if message.imei is not None:
            body = _encode_packed_imei(message.imei) + body
        return _HEAD.pack(self.codec_id, 1, message.type, len(body)) + body + b"\x01"


def _decode_packed_imei(content: bytes, offset: int) -> str:
    """The IMEI in the first 8 bytes of ``content``: a zero, then 15 digits, two in a byte."""
    packed = content[:_IMEI_SIZE]
    if len(packed) < _IMEI_SIZE:
        raise CommandError(
            ErrorCode.TRUNCATED,
            offset + len(packed),
            f"the IMEI ends at byte {offset + len(packed)}: expected {_IMEI_SIZE} bytes, "
            f"found {len(packed)}",
            expected=_IMEI_SIZE,
            found=len(packed),
        )
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
