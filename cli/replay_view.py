"""What `teltonika replay` shows: a capture's sessions, how playing them goes, what came of it."""

import sys
from types import TracebackType
from typing import Self

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from teltonika.cli.output import print_json
from teltonika.codecs.captures import Capture, CapturedSession
from teltonika.codecs.printable import printable
from teltonika.codecs.timestamps import format_timestamp
from teltonika.emulator.replay import ReplayObserver, ReplayResult, Script, SessionResult

MAX_DIFFERENCES = 10
"""Shown of one session to a person."""
MAX_HEX = 64


class SessionLine(msgspec.Struct, frozen=True):
    """A session as --list --json tells of it."""

    session: int
    transport: str
    imei: str | None
    device: str
    server: str
    started: str
    duration_s: float
    device_bytes: int
    server_bytes: int
    from_start: bool
    closed_by: str | None
    missing: int


def session_line(number: int, session: CapturedSession) -> SessionLine:
    payloads = [*session.device, *session.server]
    ends = [payload.time for payload in payloads] + [session.closed or session.started]
    return SessionLine(
        session=number,
        transport=session.transport,
        imei=session.imei,
        device=session.device_address,
        server=session.server_address,
        started=format_timestamp(max(0, round(session.started * 1000))),
        duration_s=round(max(0.0, max(ends) - session.started), 3),
        device_bytes=sum(len(payload.data) for payload in session.device),
        server_bytes=sum(len(payload.data) for payload in session.server),
        from_start=session.from_start,
        closed_by=session.closed_by,
        missing=session.missing,
    )


def print_session_list(capture: Capture) -> None:
    table = Table()
    for name in ("session", "IMEI", "device", "started", "s", "bytes"):
        right = name in ("session", "s", "bytes")
        table.add_column(name, justify="right" if right else "left", no_wrap=name == "IMEI")
    for number, session in enumerate(capture.sessions):
        line = session_line(number, session)
        table.add_row(
            str(number),
            line.imei or "not captured",
            f"{line.transport} {line.device}",
            line.started,
            f"{line.duration_s:.1f}",
            f"{line.device_bytes:,}",
        )
    Console().print(table)
    typer.echo(f"{capture.frames:,} frames; other conversations: {capture.others:,}")
    for reason, count in capture.skipped.items():
        typer.echo(f"frames that were not read, {reason}: {count:,}")


class ReplayView(ReplayObserver):
    """A bar on a terminal, a line for what went wrong, and at the end a table or NDJSON."""

    def __init__(self, *, json: bool) -> None:
        self._json = json
        self._results: list[SessionResult] = []
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("sessions"),
            TimeElapsedColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=json or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("replay")

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def expect(self, sessions: int) -> None:
        self._progress.update(self._task, total=sessions)

    def skipped(self, number: int, why: str) -> None:
        typer.echo(f"session {number} is left out: {why}", err=True)

    def started(self, script: Script) -> None:
        self._progress.update(self._task, description=f"session {script.session}: {script.imei}")

    def ended(self, result: SessionResult) -> None:
        self._progress.advance(self._task)
        if self._json:
            print_json(result)
        else:
            self._results.append(result)

    def summary(self, result: ReplayResult) -> None:
        if self._json:
            print_json(result)
            return
        self._results.sort(key=lambda each: each.session)
        _print_table(self._results)
        for each in self._results:
            _print_troubles(each)
        typer.echo(
            f"{result.sessions:,} sessions in {result.duration_s:.1f} s; {result.as_expected:,} of "
            f"{result.answers:,} answers as captured, different: {result.different:,}, "
            f"missing: {result.missing:,}, unexpected: {result.unexpected:,}; "
            f"commands: {result.commands:,}"
        )


def _print_table(results: list[SessionResult]) -> None:
    table = Table()
    table.add_column("session", justify="right")
    table.add_column("IMEI", no_wrap=True)
    for name in ("bytes", "as captured", "wrong", "extra", "ms"):
        table.add_column(name, justify="right")
    for result in results:
        table.add_row(
            str(result.session),
            result.imei,
            f"{result.sent:,}",
            f"{result.as_expected:,} of {result.answers:,}",
            f"{result.different + result.missing:,}",
            f"{result.unexpected:,}",
            f"{result.latency_mean_ms:.1f}",
            style=None if result.ok else "red",
        )
    Console().print(table)


def _print_troubles(result: SessionResult) -> None:
    for sentence in (result.error, result.note):
        if sentence is not None:
            typer.echo(f"session {result.session}: {printable(sentence)}")
    for difference in result.differences[:MAX_DIFFERENCES]:
        typer.echo(
            f"session {result.session}: {difference.kind} at byte {difference.offset}: "
            f"captured {_shown(difference.expected)}, came {_shown(difference.found)}"
        )
    more = len(result.differences) - MAX_DIFFERENCES
    if more > 0:
        typer.echo(f"session {result.session}: {more:,} more differences; --json has them")
    if result.left_out:
        typer.echo(f"session {result.session}: and {result.left_out:,} more that were not kept")


def _shown(hex_text: str | None) -> str:
    if hex_text is None:
        return "nothing"
    return hex_text if len(hex_text) <= MAX_HEX else f"{hex_text[:MAX_HEX]}…"
