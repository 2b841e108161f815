"""Captured sessions as a person reads them: a block for each, a line for what each end said."""

import sys
from collections import Counter, defaultdict

import typer

from teltonika.cli.finding_text import ACK_COLOUR, PACKET_COLOUR, describe
from teltonika.cli.output import shows_colours
from teltonika.codecs.captures import (
    CaptureDecoder,
    CapturedFinding,
    CaptureEvent,
    Note,
    SessionBegan,
    SessionEnded,
    Side,
    moment,
)
from teltonika.codecs.errors import ErrorCode
from teltonika.codecs.finding_text import ack_text, describe_packet
from teltonika.codecs.findings import FoundAck, FoundError
from teltonika.codecs.records import AvlPacket
from teltonika.codecs.registry import CODECS
from teltonika.codecs.timestamps import format_timestamp

_MAX_WAITING = 20_000
"""Lines of sessions that have no end yet; then all are printed as far as they are."""
_NO_IMEI = f"{'unknown':<15}"
_ARROWS = {Side.DEVICE: "device >", Side.SERVER: "server <"}


class ConversationView:
    """A session's lines when it ends, or, with ``live``, each line at once."""

    def __init__(self, *, live: bool) -> None:
        self._live = live
        self._coloured = shows_colours()
        self._blocks: defaultdict[int, list[str]] = defaultdict(list)
        self._waiting = 0
        self._sessions = self._packets = self._records = self._gaps = self._errors = 0
        self._notes: Counter[str] = Counter()

    def show(self, event: CaptureEvent) -> None:
        number = event.session.number
        if isinstance(event, CapturedFinding):
            self._line(number, self._finding(event))
        elif isinstance(event, Note):
            self._notes[event.kind] += 1
            text = f"{moment(event.time)}  {event.imei or _NO_IMEI}  {event.kind}: {event.text}"
            self._line(number, self._style(f"! {text}", typer.colors.YELLOW))
        elif isinstance(event, SessionBegan):
            self._sessions += 1
            self._line(number, self._style(_title(event), typer.colors.WHITE, bold=True))
        elif isinstance(event, SessionEnded):
            self._line(number, f"  {moment(event.time)}  {event.how}")
            if not self._live:
                self._print(number)

    def flush(self) -> None:
        """What is to be seen now is written."""
        if self._waiting > _MAX_WAITING:
            for number in list(self._blocks):
                self._print(number)
                self._line(number, f"session {number}, continued")
        sys.stdout.flush()

    def summary(self, decoder: CaptureDecoder) -> None:
        """Lines that are left, and what there was in all."""
        for number in list(self._blocks):
            self._print(number)
        facts = [
            f"sessions: {self._sessions:,}",
            f"packets: {self._packets:,}",
            f"records: {self._records:,}",
            *(f"{kind}: {count:,}" for kind, count in sorted(self._notes.items())),
            f"gaps: {self._gaps:,}",
            f"other errors: {self._errors:,}",
        ]
        typer.echo("; ".join(facts))
        typer.echo(f"frames: {decoder.frames:,}; other conversations: {decoder.others:,}")
        for reason, count in decoder.skipped.items():
            typer.echo(f"frames that were not read, {reason.value}: {count:,}")

    def _finding(self, found: CapturedFinding) -> str:
        content = found.content
        mark = " "
        if isinstance(content, FoundAck):
            what, colour = ack_text(content), ACK_COLOUR
        elif isinstance(content, AvlPacket):
            self._packets += 1
            self._records += len(content.records)
            what, colour = _packet(found, content), PACKET_COLOUR
        else:
            what, colour = describe(content)
            if isinstance(content, FoundError):
                gap = content.error == ErrorCode.GAP
                self._gaps += gap
                self._errors += not gap
                mark = "!"
        line = (
            f"{mark} {moment(found.time)}  {found.imei or _NO_IMEI}  {_ARROWS[found.sender]} {what}"
        )
        return self._style(line, colour) if self._coloured else line

    def _line(self, number: int, line: str) -> None:
        if self._live:
            sys.stdout.write(f"{number:>4} {line}\n")
            return
        self._waiting += 1
        self._blocks[number].append(line)

    def _print(self, number: int) -> None:
        lines = self._blocks.pop(number)
        self._waiting -= len(lines)
        sys.stdout.write("\n".join(lines) + "\n\n")

    def _style(self, text: str, colour: str, *, bold: bool = False) -> str:
        return typer.style(text, fg=colour, bold=bold or None) if self._coloured else text


def _title(began: SessionBegan) -> str:
    session = began.session
    begin = "" if session.from_start else ", captured from its middle on"
    return (
        f"session {session.number}, {session.transport}, device {session.device_address}, "
        f"server {session.server_address}, IMEI {session.imei or 'unknown'}{begin}"
    )


def _packet(found: CapturedFinding, packet: AvlPacket) -> str:
    records = packet.records
    codec = CODECS.by_id(packet.codec_id).name
    if records:
        first = last = format_timestamp(records[0].timestamp_ms)
        if len(records) > 1:
            last = format_timestamp(records[-1].timestamp_ms)
        text = describe_packet(codec, len(records), first, last)
    else:
        text = describe_packet(codec, 0)
    if found.datagram is None:
        return text
    return f"{text}, packet {found.datagram.packet_id}/{found.datagram.avl_packet_id}"
