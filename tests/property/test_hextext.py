"""Bytes to any text form and back."""

from hypothesis import given
from hypothesis import strategies as st

from teltonika.codecs import DecodeError
from teltonika.codecs.hextext import parse_hex_text


def printable(row: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)


def xxd(data: bytes, columns: int, group: int) -> str:
    """As xxd prints it, its text column right behind two spaces."""
    lines = []
    for at in range(0, len(data), columns):
        row = data[at : at + columns]
        groups = " ".join(row[i : i + group].hex() for i in range(0, len(row), group))
        lines.append(f"{at:08x}: {groups}  {printable(row)}\n")
    return "".join(lines)


def hexdump(data: bytes) -> str:
    lines = []
    for at in range(0, len(data), 16):
        row = data[at : at + 16]
        halves = f"{row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}"
        lines.append(f"{at:08x}  {halves}  |{printable(row)}|\n")
    return "".join(lines) + f"{len(data):08x}\n"


@given(st.binary(min_size=1), st.integers(1, 40), st.integers(1, 8))
def test_an_xxd_dump_is_read_back(data: bytes, columns: int, group: int) -> None:
    assert parse_hex_text(xxd(data, columns, group)) == data


@given(st.binary(min_size=1))
def test_a_hexdump_is_read_back(data: bytes) -> None:
    assert parse_hex_text(hexdump(data)) == data


@given(st.binary(), st.sampled_from(["", " ", "\n", ":", ", ", "0x", "\\x", " 0x"]), st.booleans())
def test_plain_hex_is_read_back(data: bytes, separator: str, upper: bool) -> None:
    digits = [f"{byte:02X}" if upper else f"{byte:02x}" for byte in data]
    text = separator.join(digits) if "x" not in separator else "".join(
        f" {separator}{pair}" for pair in digits
    )  # fmt: skip
    assert parse_hex_text(text) == data


@given(st.text())
def test_any_text_is_bytes_or_one_of_our_errors(text: str) -> None:
    try:
        parse_hex_text(text)
    except DecodeError as error:
        assert error.code == "bad_hex"
