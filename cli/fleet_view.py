"""What a person sees of a fleet while it runs, and its report."""

import asyncio
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import msgspec
import typer
from rich.box import SIMPLE
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from teltonika.cli.emulate_view import told_faults
from teltonika.emulator import FleetCounts

LINE_PERIOD_S = 10.0
RATE_PERIOD_S = 1.0
REASONS = 5
"""Of disconnects, the most frequent."""


class FleetView:
    """A table that stays in place on a terminal; elsewhere a line every ten seconds."""

    def __init__(self, target: str, *, json: bool) -> None:
        self._target = target
        self._began = time.monotonic()
        self._ended: float | None = None
        self._stopping = False
        self._counts: Callable[[], FleetCounts] = FleetCounts
        self._last = (self._began, FleetCounts())
        self._rates = (0.0, 0.0)
        self._console = Console(stderr=True)
        self._is_live = sys.stderr.isatty() and not json

    @property
    def seconds(self) -> float:
        """How long the run has been going on, or took."""
        return (self._ended or time.monotonic()) - self._began

    @contextmanager
    def showing(self, counts: Callable[[], FleetCounts]) -> Iterator[None]:
        """Show ``counts`` while the body runs."""
        self._counts = counts
        self._began = time.monotonic()
        self._last = (self._began, FleetCounts())
        live = Live(self, console=self._console, refresh_per_second=4, transient=True)
        with live if self._is_live else nullcontext():
            yield
        self._ended = time.monotonic()

    async def watch(self) -> None:
        """Measure rates, and say how things are where there is no terminal; until cancelled."""
        next_line = LINE_PERIOD_S
        while True:
            await asyncio.sleep(RATE_PERIOD_S)
            counts = self._measure()
            if not self._is_live and self.seconds >= next_line:
                next_line += LINE_PERIOD_S
                typer.echo(self._line(counts), err=True)

    def stopping(self) -> None:
        """Somebody asked for the end, and has to wait a moment."""
        if not self._stopping and not self._is_live:
            typer.echo("stopping once the packets in flight are acknowledged", err=True)
        self._stopping = True

    def __rich__(self) -> Group:
        counts = self._counts()
        state = "stopping" if self._stopping else f"{self.seconds:.0f} s"
        title = Text(f"{counts.devices:,} devices to {self._target}, {state}", style="bold")
        return Group(title, _table(counts, self._rates))

    def print_report(self, counts: FleetCounts, console: Console) -> None:
        """What became of the devices, for a person."""
        title = f"{counts.devices:,} devices to {self._target}, {self.seconds:.1f} s"
        console.print(Text(title, style="bold"))
        seconds = max(self.seconds, 1e-9)
        mean = (counts.packets_acknowledged / seconds, counts.records_acknowledged / seconds)
        console.print(_table(counts, mean))

    def _measure(self) -> FleetCounts:
        now, counts = time.monotonic(), self._counts()
        then, before = self._last
        self._last = (now, counts)
        self._rates = (
            (counts.packets_acknowledged - before.packets_acknowledged) / (now - then),
            (counts.records_acknowledged - before.records_acknowledged) / (now - then),
        )
        return counts

    def _line(self, counts: FleetCounts) -> str:
        latency = counts.latency
        return (
            f"{self.seconds:.0f} s: {counts.connected:,} of {counts.devices:,} connected; "
            f"{self._rates[0]:,.0f} packets/s, {self._rates[1]:,.0f} records/s; ACK p50 "
            f"{_ms(latency.quantile(0.5))}, p99 {_ms(latency.quantile(0.99))}; "
            f"{counts.records_resent:,} records sent again, {_errors(counts):,} errors"
        )


def summary(counts: FleetCounts, seconds: float) -> dict[str, Any]:
    """The report for a machine."""
    told = msgspec.structs.asdict(counts)
    del told["latencies"]
    del told["latency_max_s"]
    latency = counts.latency
    return told | {
        "complete": counts.complete,
        "duration_s": round(seconds, 3),
        "ack_latency_p50_s": round(latency.quantile(0.5), 6),
        "ack_latency_p99_s": round(latency.quantile(0.99), 6),
        "ack_latency_max_s": round(latency.max_s, 6),
    }


def _table(counts: FleetCounts, rates: tuple[float, float]) -> Table:
    table = Table(box=SIMPLE, show_header=False, pad_edge=False)
    table.add_column(style="dim")
    table.add_column(justify="right")
    table.add_column()
    latency = counts.latency
    rows = [
        ("connected", counts.connected, f"{counts.most_connected:,} at most"),
        ("done", counts.finished, f"of {counts.devices:,}"),
        ("packets acknowledged", counts.packets_acknowledged, f"{rates[0]:,.0f} a second"),
        ("records acknowledged", counts.records_acknowledged, f"{rates[1]:,.0f} a second"),
        ("records in flight", counts.records_sent - counts.records_acknowledged, ""),
        ("records sent again", counts.records_resent, f"{counts.packets_resent:,} packets"),
        ("ACK latency", _ms(latency.quantile(0.5)), f"p99 {_ms(latency.quantile(0.99))}"),
    ]
    if counts.commands_received:
        rows.append(("commands", counts.commands_received, f"{counts.answers:,} answers"))
    if _errors(counts):
        rows.append(("errors", _errors(counts), ""))
    if counts.corrupt_acknowledged:
        rows.append(("broken packets acknowledged", counts.corrupt_acknowledged, ""))
    if counts.faults:
        rows.append(("on purpose", sum(counts.faults.values()), told_faults(counts.faults)))
    for name, number, more in rows:
        table.add_row(name, number if isinstance(number, str) else f"{number:,}", more)
    common = sorted(counts.reasons.items(), key=lambda one: one[1], reverse=True)
    for reason, number in common[:REASONS]:
        table.add_row("", f"{number:,}", Text(reason))
    return table


def _errors(counts: FleetCounts) -> int:
    return counts.disconnects + counts.wrong_acks


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms"
