"""Hex from the command line, a file or standard input, as rows that fit the memory."""

import codecs
from collections.abc import Iterator
from pathlib import Path
from string import hexdigits
from typing import BinaryIO

from teltonika.cli.errors import USAGE, fail
from teltonika.cli.input_file import opened
from teltonika.codecs.hextext import Row

_LONGEST_ROW = 1 << 18
"""Characters. A line that has more comes in several rows."""


def hex_rows(arguments: list[str] | None, file: Path | None) -> Iterator[Row]:
    """The rows of the arguments, or else of ``file``, or else, as for ``-``, of standard input.

    Ends the command with a sentence where there are both, or the file cannot be read.
    """
    if arguments and file is not None:
        fail("give the hex as an argument or with --file, not both", USAGE)
    if arguments and arguments != ["-"]:
        yield from ((n, 0, row) for n, row in enumerate(" ".join(arguments).splitlines(), 1))
        return
    with opened(file or Path("-")) as stream:
        try:
            yield from _rows_of(stream)
        except OSError as error:
            fail(f"cannot read {file or 'standard input'}: {error.strerror}", USAGE)


def _rows_of(stream: BinaryIO) -> Iterator[Row]:
    """A character for each byte: the parser names what is not hex."""
    number, before, held = 1, 0, ""
    while piece := stream.readline(_LONGEST_ROW):
        if number == 1 and not before:
            piece = piece.removeprefix(codecs.BOM_UTF8)
        text = held + piece.decode("latin-1")
        held = ""
        if text.endswith("\n"):
            yield number, before, text
            number, before = number + 1, 0
            continue
        held = _half_a_byte(text)
        text = text.removesuffix(held)
        yield number, before, text
        before += len(text)
    if held:
        yield number, before, held


def _half_a_byte(text: str) -> str:
    """The digit at the end of ``text`` whose other one is still to come."""
    digits = len(text) - len(text.rstrip(hexdigits))
    return text[-1] if digits % 2 else ""
