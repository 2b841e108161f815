"""`teltonika decode pcap`: every Teltonika session in a capture."""

import os
import stat
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Annotated, BinaryIO

import typer

from teltonika.cli.capture_json import JsonObjects
from teltonika.cli.conversation_view import ConversationView
from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.hex_export import HexExport
from teltonika.cli.input_file import opened
from teltonika.cli.io_names import ModelOption, NamesOption, checked_model
from teltonika.codecs import parse_imei
from teltonika.codecs.captures import (
    CaptureDecoder,
    CapturedFinding,
    CaptureError,
    CaptureEvent,
    SessionEnded,
)
from teltonika.codecs.findings import FoundError

_READ_SIZE = 2**16
_DECODED_AT_ONCE = 2**14
"""Less than is read: decoded it is many times as long, and is to fit a processor's cache."""
_WORTH_A_BAR = 2**24


def pcap(
    file: Annotated[
        Path,
        typer.Argument(
            help="A capture: pcap or pcapng, not compressed; - is standard input.",
            show_default=False,
        ),
    ],
    imei: Annotated[
        list[str] | None,
        typer.Option(
            help="Only this device's sessions. Can be given several times.", show_default="all"
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            help="The server's port: what goes to and from it counts, whatever it is. "
            "Without it, a device is who sends an IMEI or a packet, on any port.",
            show_default="found out",
            envvar="TELTONIKA_CAPTURED_PORT",
            min=1,
            max=65535,
        ),
    ] = None,
    export_hex: Annotated[
        Path | None,
        typer.Option(
            help="Write the packets' hex, one a line, for [bold]decode --file[/bold]: to one file, "
            "or into a directory that is there, a file for each session.",
            show_default=False,
        ),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print NDJSON: one object for each thing found.")
    ] = False,
    names: NamesOption = False,
    model: ModelOption = None,
) -> None:
    """Decode every Teltonika session in a capture, and say what went wrong in it.

    TCP is put together again, whatever its order; UDP, IPv4, IPv6, VLANs and Linux cooked captures
    are read. Packets without an ACK, ACKs of another count, packets that came
    before, nACKs and gaps are pointed out. The exit code is 1 if something does not decode.

    As it happens: [bold]tcpdump -U -w - port 5027 | teltonika decode pcap -[/bold]
    """
    for each in imei or ():
        try:
            parse_imei(each)
        except ValueError as error:
            fail(f"--imei: {error}", USAGE)
    model = checked_model(model)
    decoder = CaptureDecoder(port)
    view: ConversationView | JsonObjects = (
        JsonObjects(names=names or model is not None, model=model)
        if json
        else ConversationView(live=str(file) == "-")
    )
    with opened(file) as source, _exporting(export_hex) as export:
        output = _Output(view, set(imei or ()), export)
        try:
            for data in _chunks(source):
                for start in range(0, len(data), _DECODED_AT_ONCE):
                    piece = data[start : start + _DECODED_AT_ONCE]
                    output.show(decoder.receive_data(piece))
                view.flush()
            output.show(decoder.receive_eof())
        except CaptureError as error:
            fail(f"{file}: {error}", FAILED)
    view.summary(decoder)
    if decoder.broken_at is not None:
        typer.echo(
            f"teltonika: {file} breaks off at byte {decoder.broken_at}: what stands before counts",
            err=True,
        )
    if output.failed:
        raise typer.Exit(FAILED)


class _Output:
    """Events to standard output, as far as they are wanted, and to the exported hex."""

    def __init__(
        self,
        view: ConversationView | JsonObjects,
        imeis: set[str],
        export: HexExport | None,
    ) -> None:
        self._view = view
        self._imeis = imeis
        self._export = export
        self.failed = False
        """Whether something did not decode."""

    def show(self, events: list[CaptureEvent]) -> None:
        wanted = self._wanted(events) if self._imeis else events
        show = self._view.show
        for event in wanted:
            show(event)
            if isinstance(event, CapturedFinding):
                if type(event.content) is FoundError:
                    self.failed = True
                if self._export is not None:
                    self._exported(self._export, event)
            elif self._export is not None and isinstance(event, SessionEnded):
                self._export.end(event.session.number)

    def _wanted(self, events: list[CaptureEvent]) -> list[CaptureEvent]:
        return [
            event
            for event in events
            if (
                event.imei
                if isinstance(event, CapturedFinding) and event.imei is not None
                else event.session.imei
            )
            in self._imeis
        ]

    def _exported(self, export: HexExport, found: CapturedFinding) -> None:
        try:
            export.add(found)
        except OSError as error:
            fail(f"cannot write {error.filename or 'the hex'}: {error.strerror}", FAILED)


def _exporting(path: Path | None) -> AbstractContextManager[HexExport | None]:
    if path is None:
        return nullcontext()
    try:
        return HexExport(path)
    except OSError as error:
        fail(f"--export-hex: cannot write {path}: {error.strerror}", USAGE)


def _chunks(source: BinaryIO) -> Iterator[bytes]:
    """What a file holds, or a pipe brings, until its end or Ctrl-C; with a bar if it is long."""
    status = os.fstat(source.fileno())
    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
    with _bar(size) as advance:
        try:
            while data := os.read(source.fileno(), _READ_SIZE):
                yield data
                advance(len(data))
        except KeyboardInterrupt:
            return  # what came until then is shown, and summed up
        except OSError as error:
            fail(f"cannot read the capture: {error.strerror}", FAILED)


def _bar(size: int) -> AbstractContextManager[Callable[[int], None]]:
    """To be told how much was read: for a long file, and where somebody looks."""
    if size < _WORTH_A_BAR or not sys.stderr.isatty():
        return nullcontext(lambda _: None)
    from teltonika.cli.reading_bar import reading_bar  # noqa: PLC0415 - slow to import

    return reading_bar(size)
