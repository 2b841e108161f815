"""Every exception of the codecs, in one tree.

TeltonikaError
├── DecodeError              bytes that are not what the protocol says; knows where
│   ├── FramingError         the stream cannot be followed: IMEI, preamble, length, end
│   ├── CrcMismatchError     a whole packet whose CRC is wrong
│   ├── UnknownCodecError    a codec id that the protocol does not know
│   ├── RecordError          a whole, checked AVL packet whose inside contradicts itself
│   └── CommandError         the same of a command, an answer or a text
├── CaptureError             a file that is no capture, or one that nothing here can read
├── EncodeError              a value that does not fit its field on the wire
└── TlsError                 a file or a name that TLS cannot be spoken with
"""

from enum import StrEnum

import msgspec


class ErrorCode(StrEnum):
    """Short, stable names of what can be wrong with bytes; they stand in JSON output and logs."""

    TRUNCATED = "truncated"
    IMEI_LENGTH = "imei_length"
    IMEI_DIGITS = "imei_digits"
    IMEI_LUHN = "imei_luhn"
    BAD_PREAMBLE = "bad_preamble"
    BAD_LENGTH = "bad_length"
    PACKET_TOO_LARGE = "packet_too_large"
    CRC_MISMATCH = "crc_mismatch"
    UNKNOWN_CODEC = "unknown_codec"
    RECORD_COUNT_MISMATCH = "record_count_mismatch"
    IO_COUNT_MISMATCH = "io_count_mismatch"
    TRAILING_BYTES = "trailing_bytes"
    SIZE_MISMATCH = "size_mismatch"
    UNKNOWN_TYPE = "unknown_type"
    UNRECOGNISED = "unrecognised"
    BAD_HEX = "bad_hex"
    GAP = "gap"
    """Bytes that a capture does not have."""


class TeltonikaError(Exception):
    """The root: whatever this package raises on purpose is one of these."""


class DecodeFailure(msgspec.Struct, frozen=True, gc=False):
    """What a `DecodeError` says, as a value to keep: an exception's traceback holds every frame
    that it came through, and all that these hold."""

    code: ErrorCode
    offset: int
    """The byte where it went wrong, counted from the start of what was handed in: a packet for a
    codec or a connection, the whole input for ``find_packets``."""
    message: str
    """A sentence with the offset, and with the expected and the found value."""
    expected: int | str | None = None
    """With ``found``, the two values that disagree, where there are two."""
    found: int | str | None = None

    def __str__(self) -> str:
        return self.message


class DecodeError(TeltonikaError):
    """Bytes that are not what the protocol says; the arguments are those of `DecodeFailure`."""

    def __init__(
        self,
        code: ErrorCode,
        offset: int,
        message: str,
        *,
        expected: int | str | None = None,
        found: int | str | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.offset = offset
        self.message = message
        self.expected = expected
        self.found = found

    @property
    def failure(self) -> DecodeFailure:
        """What this error says, without its traceback: for whatever outlives the handler."""
        return DecodeFailure(self.code, self.offset, self.message, self.expected, self.found)


class FramingError(DecodeError):
    """The byte stream cannot be followed any further."""


class CrcMismatchError(DecodeError):
    """A whole packet arrived, and its CRC is wrong. ``expected`` is the packet's own value."""


class UnknownCodecError(DecodeError):
    """A codec id that the protocol does not know. ``found`` is the id."""


class RecordError(DecodeError):
    """The inside of an AVL packet with a right CRC contradicts itself."""


class CommandError(DecodeError):
    """The inside of a command, an answer or a text with a right CRC contradicts itself."""


class EncodeError(TeltonikaError):
    """A value that does not fit its field on the wire; ``field`` names it."""

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field
        self.message = message


class CaptureError(TeltonikaError):
    """A file that is no capture, or one that nothing here can read; the message says why."""


class TlsError(TeltonikaError):
    """A file or a name that TLS cannot be spoken with; the message says which, and why."""
