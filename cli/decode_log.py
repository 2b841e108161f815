"""`teltonika decode log`: the hex in the text logs of Traccar and others."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, BinaryIO

import msgspec
import typer

from teltonika.cli.errors import FAILED, fail
from teltonika.cli.finding_json import write_finding
from teltonika.cli.finding_text import describe
from teltonika.cli.input_file import opened
from teltonika.cli.io_names import ModelOption, NamesOption, checked_model
from teltonika.cli.output import shows_colours
from teltonika.codecs.findings import FoundError
from teltonika.codecs.found_names import with_names
from teltonika.codecs.logtext import LogReader
from teltonika.codecs.packet_finder import find_packets

_MAX_LINE = 2**20
"""Bytes of a line that are looked at; a packet of 65,536 bytes takes 131,072 digits."""


class _Place(msgspec.Struct, frozen=True):
    """Where in a log something was found."""

    line: int
    time: str | None


def log(
    file: Annotated[
        Path, typer.Argument(help="A text log; - is standard input.", show_default=False)
    ],
    json: Annotated[
        bool, typer.Option("--json", help="Print NDJSON: one object for each thing found.")
    ] = False,
    names: NamesOption = False,
    model: ModelOption = None,
) -> None:
    """Decode the hex in a text log, line by line, with each line's own timestamp.

    Lines as Traccar writes them, and any others that hold a handshake, a packet or a datagram in
    hex: plain, with 0x, or byte by byte. Short answers count where the line
    says that they were sent. The exit code is 1 if something does not decode.

    As it happens: [bold]tail -F tracker-server.log | teltonika decode log -[/bold]
    """
    model = checked_model(model)
    reader = LogReader()
    coloured = not json and shows_colours()
    failed = False
    lines = found = 0
    with opened(file) as source:
        for lines, line in _lines(source):
            for hex_run in reader.read_line(line):
                for finding in find_packets(hex_run.data):
                    found += 1
                    failed = failed or isinstance(finding, FoundError)
                    if json:
                        if names or model is not None:
                            finding = with_names(finding, model)  # noqa: PLW2901
                        write_finding(_Place(lines, hex_run.time), finding)
                        continue
                    text, colour = describe(finding)
                    text = f"line {lines}  {hex_run.time or 'no time'}  {text}"
                    sys.stdout.write((typer.style(text, colour) if coloured else text) + "\n")
                sys.stdout.flush()
    if not found:
        typer.echo(f"teltonika: {file}: no Teltonika hex in {lines:,} lines", err=True)
    if failed:
        raise typer.Exit(FAILED)


def _lines(source: BinaryIO) -> Iterator[tuple[int, str]]:
    """Each line and its number, until the end or Ctrl-C; of a line that is too long its number on
    standard error."""
    number = 0
    try:
        while line := source.readline(_MAX_LINE):
            number += 1
            if len(line) < _MAX_LINE or line.endswith(b"\n"):
                yield number, line.decode("utf-8", "replace")
                continue
            while line and not line.endswith(b"\n"):
                line = source.readline(_MAX_LINE)
            typer.echo(
                f"teltonika: line {number} is left out: it has more than {_MAX_LINE:,} bytes",
                err=True,
            )
    except KeyboardInterrupt:
        return
    except OSError as error:
        fail(f"cannot read the log: {error.strerror}", FAILED)
