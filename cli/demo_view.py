"""What `teltonika demo` shows: a live table on a terminal, plain lines elsewhere."""

import asyncio
from collections import deque
from statistics import quantiles
from types import TracebackType
from typing import Any, Self

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from teltonika.emulator import DeviceObserver, DeviceReport, EmulatedDevice
from teltonika.server import Listening

IGNITION = "239"
ROWS = 12


class DemoView(DeviceObserver):
    """What the demo counts; shown between ``with`` and its end by a subclass."""

    def __init__(self) -> None:
        self.console = Console(highlight=False)
        self.reports: list[DeviceReport] = []
        self._latencies_ms: deque[float] = deque(maxlen=10_000)
        self._landed = 0
        self._changed = asyncio.Event()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def started(self, address: Listening) -> None:
        """The server accepts connections."""

    def show(self, payload: dict[str, Any]) -> None:
        """A record has landed on the stream."""

    def acknowledged(self, device: EmulatedDevice, packet: bytes, latency_s: float) -> None:
        self._latencies_ms.append(latency_s * 1000)

    def landed(self, payload: dict[str, Any]) -> None:
        self._landed += 1
        self._changed.set()
        self.show(payload)

    async def all_landed(self) -> None:
        """Until every acknowledged record has been seen on the stream."""
        while self._landed < self.records_acknowledged:
            self._changed.clear()
            await self._changed.wait()

    @property
    def records_acknowledged(self) -> int:
        return sum(report.records_acknowledged for report in self.reports)

    @property
    def unacknowledged(self) -> int:
        return sum(report.records_sent for report in self.reports) - self.records_acknowledged

    def latency(self) -> str:
        """The ACKs' latency so far, in words."""
        if len(self._latencies_ms) < 2:
            return "ACK latency: not known yet"
        percentiles = quantiles(self._latencies_ms, n=100, method="inclusive")
        return (
            f"ACK latency: median {percentiles[49]:.1f} ms, p99 {percentiles[98]:.1f} ms, "
            f"longest {max(self._latencies_ms):.1f} ms"
        )

    def print_summary(self) -> None:
        sent = sum(report.records_sent for report in self.reports)
        self.console.print(
            f"[bold]{sent} records sent by {len(self.reports)} devices, "
            f"{self.records_acknowledged} acknowledged, {self._landed} on the stream.[/bold]",
            soft_wrap=True,
        )
        self.console.print(
            f"{self.latency()}; each ACK after its records were on disk (fsync).\n"
            "Now for real devices: [bold]teltonika serve[/bold]; "
            "and one more emulated: [bold]teltonika emulate --imei 356307042441013[/bold]",
            soft_wrap=True,
        )


class LineView(DemoView):
    """A line for each record."""

    def started(self, address: Listening) -> None:
        self.console.print(
            f"server on {address.host}:{address.port}, Redis at {address.redis}", soft_wrap=True
        )

    def show(self, payload: dict[str, Any]) -> None:
        self.console.print("  ".join(_cells(payload)), soft_wrap=True)


class LiveView(DemoView):
    """The last records, and what was counted, in place."""

    def __init__(self) -> None:
        super().__init__()
        self._rows: deque[tuple[str, ...]] = deque(maxlen=ROWS)
        self._where = ""
        self._live = Live(self, console=self.console, refresh_per_second=8)

    @staticmethod
    def possible() -> bool:
        return Console().is_terminal

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._live.stop()

    def started(self, address: Listening) -> None:
        self._where = f"teltonika serve on {address.host}:{address.port}"

    def show(self, payload: dict[str, Any]) -> None:
        self._rows.append(_cells(payload))

    def __rich__(self) -> Group:
        table = Table(title=self._where, title_justify="left", box=SIMPLE_HEAD, expand=True)
        for heading in ("IMEI", "time", "position", "speed", "ignition"):
            table.add_column(heading, no_wrap=True)
        for row in self._rows:
            table.add_row(*row)
        counts = (
            f"{len(self.reports)} devices, {self.records_acknowledged} records acknowledged, "
            f"{self._landed} on the stream"
        )
        return Group(table, Text(counts, style="bold"), Text(self.latency()))


def _cells(payload: dict[str, Any]) -> tuple[str, ...]:
    ignition = payload["attributes"].get(IGNITION)
    return (
        payload["device_id"],
        payload["timestamp"][11:19],
        f"{payload['latitude']:.5f}, {payload['longitude']:.5f}",
        f"{payload['speed']:3d} km/h",
        {0: "off", 1: "on"}.get(ignition, "?"),
    )
