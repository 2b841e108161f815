"""Hex as people paste it, plain or as a dump of xxd or hexdump, to bytes."""

import re
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from teltonika.codecs.errors import DecodeError, ErrorCode

_XXD_ROW = re.compile(
    r"([0-9A-Fa-f]{4,16}): +((?:[0-9A-Fa-f]{2})+(?: (?:[0-9A-Fa-f]{2})+)*)(?:  .*| *)"
)
_HEXDUMP_ROW = re.compile(r"([0-9A-Fa-f]{7,16})  ((?:[0-9A-Fa-f]{2} {1,2})+) *\|.*\| *")
_WIRESHARK_ROW = re.compile(
    r"([0-9A-Fa-f]{4,16}) {2,3}"
    r"([0-9A-Fa-f]{2}(?: [0-9A-Fa-f]{2}){0,7}(?:  ?[0-9A-Fa-f]{2}(?: [0-9A-Fa-f]{2}){0,7})?)"
    r"( {2,}.*)?"
)
_BARE_ROW = re.compile(r"([0-9A-Fa-f]{6,16}) +((?:[0-9A-Fa-f]{2} {0,2})+)")
_DUMP_END = re.compile(r"[0-9A-Fa-f]{6,16}")
_WORD = re.compile(r" (?:[0-9A-Fa-f]{4}|[0-9A-Fa-f]{8}|[0-9A-Fa-f]{16})(?: |$)")
"""What hexdump without -C and od -x print: numbers, in the byte order of their machine."""
_TOKEN = re.compile(
    r"(?P<separator>[\s:,;'\"\[\](){}-]+)|(?P<prefix>0[xX]|\\[xX])|(?P<digits>[0-9A-Fa-f]+)|."
)

_MAX_REPEATED = 1 << 26
"""Bytes that the ``*`` rows of one dump may stand for together: 64 MiB."""


Row = tuple[int, int, str]
"""A line's number, counted from 1; how many of its characters came before; characters of it."""


class HexTextError(DecodeError):
    """Text that is not hex, behind ``data``, which is. ``offset`` is how long that is."""

    def __init__(self, offset: int, line: int, column: int, message: str) -> None:
        super().__init__(ErrorCode.BAD_HEX, offset, f"line {line}, column {column}: {message}")
        self.data = b""
        """Empty in an error of `parse_hex_rows`, which gave the bytes out already."""
        self.line = line
        """Counted from 1, as ``column`` is."""
        self.column = column


def parse_hex_text(text: str) -> bytes:
    """The bytes that ``text`` writes in hex, as `parse_hex_rows` reads it. Raises HexTextError."""
    data = bytearray()
    try:
        for part in parse_hex_rows((n, 0, row) for n, row in enumerate(text.splitlines(), 1)):
            data += part
    except HexTextError as error:
        error.data = bytes(data)
        raise
    return bytes(data)


def parse_hex_rows(rows: Iterable[Row]) -> Iterator[bytes]:
    r"""The bytes that a text's rows write in hex; a long line may come as several rows.

    Plain hex may hold white space, the separators ``: , ; -``, quotes and brackets, and ``0x`` or
    ``\x`` before any group. A dump is known by its first row: xxd writes ``00000000: 0000 0036
    ...6``, hexdump -C writes ``00000000  00 00 00 36  |...6|``, and ``od -A x -t x1`` or a dump
    whose text was cut off ``000000 00 00 00 36``, which the next row's offset tells from plain hex.
    Wireshark writes ``0000   00 00 00 36   ...6``, and of a followed stream the rows of one end
    further in than those of the other, each with offsets of its own.
    A dump's offsets must fit, and its text column is never read.

    Raises HexTextError where anything else stands: nothing is guessed.
    """
    filled = (row for row in rows if row[2].strip())
    first = list(islice(filled, 2))
    written = chain(first, filled)
    texts = [text.strip() for _, _, text in first]
    for row_pattern in (_XXD_ROW, _HEXDUMP_ROW):
        if texts and row_pattern.fullmatch(texts[0]):
            return _parse_dump(written, row_pattern)
    if _is_of_wireshark(texts):
        return _parse_wireshark(written)
    if _is_bare_dump(texts):
        if word := _WORD.search(texts[0]):
            number, before, row = first[0]
            column = before + row.index(texts[0]) + word.start() + 2
            raise HexTextError(
                0,
                number,
                column,
                "a dump of words, whose bytes may be swapped: hexdump -C and od -t x1 print bytes",
            )
        return _parse_dump(written, _BARE_ROW)
    return _parse_plain(written)


def _is_of_wireshark(rows: list[str]) -> bool:
    """Whether a text column stands in the first row, or else it begins with a ``0000`` that the
    next row's offset, if there is one, goes on from."""
    first = _WIRESHARK_ROW.fullmatch(rows[0]) if rows else None
    if first is None:
        return False
    if first[3] or len(first[1]) > 4:
        return bool(first[3])
    second = rows[1].split(" ", 1)[0] if len(rows) > 1 else ""
    return first[1] == "0000" and second in ("", f"{len(bytes.fromhex(first[2])):04x}")


def _is_bare_dump(rows: list[str]) -> bool:
    """Whether the second row begins with the offset that the first one's length makes it have."""
    first = _BARE_ROW.fullmatch(rows[0]) if len(rows) > 1 else None
    if first is None:
        return False
    second = rows[1].split(" ", 1)[0]
    if second == "*":
        return True
    end = int(first[1], 16) + len(bytes.fromhex(first[2]))
    return bool(_DUMP_END.fullmatch(second)) and int(second, 16) == end


def _parse_plain(rows: Iterable[Row]) -> Iterator[bytes]:
    count = 0
    for number, before, row in rows:
        data = bytearray()
        for token in _TOKEN.finditer(row):
            column = before + token.start() + 1
            if token["digits"]:
                if len(token["digits"]) % 2:
                    yield bytes(data)
                    raise HexTextError(
                        count + len(data),
                        number,
                        before + token.end(),
                        f"an odd number of hex digits ({len(token['digits'])}) ends here: half a "
                        "byte is missing, or one too many",
                    )
                data += bytes.fromhex(token["digits"])
            elif not (token["separator"] or token["prefix"]):
                char = token[0]
                hint = "" if char.isprintable() else " (bytes as they are go through xxd first)"
                message = f"{char!r} is no hex digit{hint}"
                yield bytes(data)
                raise HexTextError(count + len(data), number, column, message)
        count += len(data)
        yield bytes(data)


def _parse_wireshark(rows: Iterable[Row]) -> Iterator[bytes]:
    count = 0
    ends: dict[str, int] = {}
    """What stands before the rows of an end, to the offset of its next one."""
    for number, _, text in rows:
        match = _WIRESHARK_ROW.fullmatch(text.strip())
        if match is None:
            raise HexTextError(count, number, 1, "this is no row of the dump above it")
        indent, offset = text[: text.index(match[1])], int(match[1], 16)
        expected = ends.get(indent, offset)
        if offset != expected:
            raise _misplaced(count, number, offset, expected)
        data = bytes.fromhex(match[2])
        ends[indent] = offset + len(data)
        count += len(data)
        yield data


def _misplaced(count: int, line: int, offset: int, expected: int) -> HexTextError:
    return HexTextError(
        count,
        line,
        1,
        f"the dump's offset is 0x{offset:X} where 0x{expected:X} should stand",
    )


def _parse_dump(rows: Iterable[Row], row_pattern: re.Pattern[str]) -> Iterator[bytes]:
    count = 0
    start: int | None = None
    last_row = b""
    number = 1
    repeats = False  # a `*` stands for rows like the one before it
    room = _MAX_REPEATED
    for number, _, text in rows:
        row = text.strip()
        if row == "*" and last_row and not repeats:
            repeats = True
            continue
        match = row_pattern.fullmatch(row)
        end = None if match else _DUMP_END.fullmatch(row)
        if match is None and end is None:
            raise HexTextError(count, number, 1, "this is no row of the dump above it")
        offset = int(match[1] if match else row, 16)
        if start is None:
            start = offset
        missing = offset - start - count
        if repeats and 0 < missing <= room and missing % len(last_row) == 0:
            room -= missing
            count += missing
            for _ in range(missing // len(last_row)):
                yield last_row
        elif missing or repeats:
            raise _misplaced(count, number, offset, start + count)
        repeats = False
        last_row = bytes.fromhex(match[2]) if match else b""
        count += len(last_row)
        yield last_row
    if repeats:
        raise HexTextError(
            count, number, 1, "the dump ends in a *: how often the row repeats is unknown"
        )
