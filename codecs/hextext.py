"""Hex as people paste it, plain or as a dump of xxd or hexdump, to bytes."""

import re

from teltonika.codecs.errors import DecodeError, ErrorCode

_XXD_ROW = re.compile(
    r"([0-9A-Fa-f]{4,16}): +((?:[0-9A-Fa-f]{2})+(?: (?:[0-9A-Fa-f]{2})+)*)(?:  .*| *)"
)
_HEXDUMP_ROW = re.compile(r"([0-9A-Fa-f]{7,16})  ((?:[0-9A-Fa-f]{2} {1,2})+) *\|.*\| *")
_HEXDUMP_END = re.compile(r"[0-9A-Fa-f]{7,16}")
_TOKEN = re.compile(
    r"(?P<separator>[\s:,;'\"\[\](){}-]+)|(?P<prefix>0[xX]|\\[xX])|(?P<digits>[0-9A-Fa-f]+)|."
)

_MAX_REPEATED = 1 << 26
"""Bytes that one ``*`` row may stand for: 64 MiB."""


class HexTextError(DecodeError):
    """Text that is not hex. ``offset`` is the number of bytes before it."""

    def __init__(self, offset: int, line: int, column: int, message: str) -> None:
        super().__init__(ErrorCode.BAD_HEX, offset, f"line {line}, column {column}: {message}")
        self.line = line
        """Counted from 1, as ``column`` is."""
        self.column = column


def parse_hex_text(text: str) -> bytes:
    r"""The bytes that ``text`` writes in hex.

    Plain hex may hold white space, the separators ``: , ; -``, quotes and brackets, and ``0x`` or
    ``\x`` before any group. A dump is known by its first row: xxd writes ``00000000: 0000 0036
    ...6``, hexdump -C writes ``00000000  00 00 00 36  |...6|``. A dump's offsets must fit, and its
    text column is never read.

    Raises HexTextError where anything else stands: nothing is guessed.
    """
    rows = [(number, row) for number, row in enumerate(text.splitlines(), 1) if row.strip()]
    if rows and _XXD_ROW.fullmatch(rows[0][1]):
        return _parse_dump(rows, _XXD_ROW)
    if rows and _HEXDUMP_ROW.fullmatch(rows[0][1]):
        return _parse_dump(rows, _HEXDUMP_ROW)
    return _parse_plain(rows)


def _parse_plain(rows: list[tuple[int, str]]) -> bytes:
    data = bytearray()
    for number, row in rows:
        for token in _TOKEN.finditer(row):
            if token["digits"]:
                if len(token["digits"]) % 2:
                    raise HexTextError(
                        len(data),
                        number,
                        token.start() + 1,
                        f"an odd number of hex digits ({len(token['digits'])}): half a byte "
                        "is missing, or one too many",
                    )
                data += bytes.fromhex(token["digits"])
            elif not (token["separator"] or token["prefix"]):
                raise HexTextError(
                    len(data), number, token.start() + 1, f"{token[0]!r} is no hex digit"
                )
    return bytes(data)


def _parse_dump(rows: list[tuple[int, str]], row_pattern: re.Pattern[str]) -> bytes:
    data = bytearray()
    start: int | None = None
    last_row = b""
    repeats = False  # a `*` stands for rows like the one before it
    for number, row in rows:
        if row.strip() == "*" and last_row and not repeats:
            repeats = True
            continue
        match = row_pattern.fullmatch(row)
        end = None if match else _HEXDUMP_END.fullmatch(row.strip())
        if match is None and end is None:
            raise HexTextError(len(data), number, 1, "this is no row of the dump above it")
        offset = int(match[1] if match else row.strip(), 16)
        if start is None:
            start = offset
        missing = offset - start - len(data)
        if repeats and 0 < missing <= _MAX_REPEATED and missing % len(last_row) == 0:
            data += last_row * (missing // len(last_row))
        elif missing or repeats:
            raise HexTextError(
                len(data),
                number,
                1,
                f"the dump's offset is 0x{offset:X} where 0x{start + len(data):X} should stand",
            )
        repeats = False
        last_row = bytes.fromhex(match[2]) if match else b""
        data += last_row
    if repeats:
        raise HexTextError(
            len(data), rows[-1][0], 1, "the dump ends in a *: how often the row repeats is unknown"
        )
    return bytes(data)
