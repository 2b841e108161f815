"""The IMEI: as text, and as the first bytes of a TCP session."""

from teltonika.codecs.errors import ErrorCode, FramingError

IMEI_DIGITS = 15
IMEI_FRAME_SIZE = 2 + IMEI_DIGITS
ACCEPTED = b"\x01"
REJECTED = b"\x00"


def parse_imei(text: str) -> str:
    """``text`` if it is an IMEI: 15 ASCII digits. Raises ValueError with a sentence otherwise.

    The Luhn check digit is not looked at: see `luhn_valid`.
    """
    if len(text) != IMEI_DIGITS or not (text.isascii() and text.isdigit()):
        raise ValueError(f"an IMEI is {IMEI_DIGITS} digits; {text!r} is not")
    return text


def luhn_check_digit(digits: str) -> int:
    """The Luhn digit that completes ``digits`` (for an IMEI its first 14)."""
    total = 0
    for place, digit in enumerate(reversed(digits)):
        value = int(digit) * (2 if place % 2 == 0 else 1)
        total += value - 9 if value > 9 else value
    return -total % 10


def luhn_valid(imei: str) -> bool:
    """Whether the last digit is the Luhn check digit of those before it.

    Devices on test benches often fail this, so nothing rejects them unless a setting says so.
    """
    return luhn_check_digit(imei[:-1]) == int(imei[-1])


def consecutive_imeis(first: str, count: int) -> list[str]:
    """``count`` IMEIs from ``first`` on, each with a right Luhn digit in the place of the last one.

    Raises ValueError if ``first`` is no IMEI, or if there are not so many behind it.
    """
    start = int(parse_imei(first)[:-1])
    if start + count > 10 ** (IMEI_DIGITS - 1):
        raise ValueError(f"there are no {count} IMEIs from {first} on")
    bodies = (f"{number:0{IMEI_DIGITS - 1}d}" for number in range(start, start + count))
    return [f"{body}{luhn_check_digit(body)}" for body in bodies]


def encode_imei(imei: str) -> bytes:
    """The first 17 bytes of a session: ``00 0F`` and 15 ASCII digits. Raises ValueError."""
    return IMEI_DIGITS.to_bytes(2) + parse_imei(imei).encode("ascii")


def check_imei_length(declared: int, offset: int = 0) -> None:
    """Raises FramingError (``imei_length``) for a handshake length other than 15."""
    if declared != IMEI_DIGITS:
        raise FramingError(
            ErrorCode.IMEI_LENGTH,
            offset,
            f"IMEI length at byte {offset}: expected {IMEI_DIGITS}, found {declared}",
            expected=IMEI_DIGITS,
            found=declared,
        )


def decode_imei(data: bytes, offset: int = 0) -> str:
    """The IMEI of a whole handshake, ``data`` being its 17 bytes.

    ``offset`` is added to the offset of an error. Raises FramingError: ``truncated``,
    ``imei_length`` or ``imei_digits``.
    """
    if len(data) >= 2:
        check_imei_length(int.from_bytes(data[:2]), offset)
    if len(data) != IMEI_FRAME_SIZE:
        raise FramingError(
            ErrorCode.TRUNCATED,
            offset + len(data),
            f"the IMEI handshake ends at byte {offset + len(data)}: "
            f"expected {IMEI_FRAME_SIZE} bytes, found {len(data)}",
            expected=IMEI_FRAME_SIZE,
            found=len(data),
        )
    digits = data[2:]
    if not digits.isdigit():  # bytes.isdigit knows ASCII digits only
        at = next(i for i, byte in enumerate(digits) if not 0x30 <= byte <= 0x39)
        raise FramingError(
            ErrorCode.IMEI_DIGITS,
            offset + 2 + at,
            f"IMEI at byte {offset + 2 + at}: expected a digit, found 0x{digits[at]:02X}",
            expected="a digit",
            found=f"0x{digits[at]:02X}",
        )
    return digits.decode("ascii")
