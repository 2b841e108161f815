"""What a person sees while a device runs, on standard error: a log, or one live line."""

from collections import Counter
from collections.abc import Callable
from time import monotonic
from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

from teltonika.codecs.printable import printable
from teltonika.emulator import DeviceObserver, EmulatedDevice

LINES_PER_MINUTE = 60
"""Of each kind of line that a server can cause."""
MINUTE_S = 60.0
MAX_SHOWN = 200
"""Characters of a command that the device did not execute; one that it executes is shorter."""


def told_faults(faults: dict[str, int]) -> str:
    """How often each was done on purpose."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(faults.items()))


class LogView(DeviceObserver):
    """A line for each thing that happens to a connection; shown between ``with`` and its end."""

    def __init__(self, target: str, clock: Callable[[], float] = monotonic) -> None:
        self._target = target
        self._clock = clock
        self._minute_began = clock()
        self._lines: Counter[str] = Counter()  # in this minute, by kind

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._say_left_out()

    def connected(self, device: EmulatedDevice) -> None:
        self._say_some("connected", f"{device.imei}: connected to {self._target}")

    def ack_refused(self, device: EmulatedDevice, expected: int, found: int) -> None:
        sentence = f"{device.imei}: an ACK of {found} records where {expected} were in flight"
        self._say_some("ack refused", sentence)

    def command_executed(self, device: EmulatedDevice, text: str) -> None:
        self._say_some("command executed", f"{device.imei}: executed {printable(text)}")

    def command_ignored(self, device: EmulatedDevice, text: str, reason: str) -> None:
        sentence = f"{device.imei}: did not execute {printable(text[:MAX_SHOWN])}: {reason}"
        self._say_some("command ignored", sentence)

    def disconnected(self, device: EmulatedDevice, reason: str, retry_in_s: float) -> None:
        sentence = f"{device.imei}: {self._target}: {reason}; trying again in {retry_in_s:.1f} s"
        self._say_some("disconnected", sentence)

    def unverified(self) -> None:
        """The server may be anybody."""
        self._note("the server's certificate is not verified")

    def stopping(self) -> None:
        """Somebody asked for the end, and has to wait a moment."""
        self._say("stopping once the packet in flight is acknowledged")

    def _say_some(self, kind: str, text: str) -> None:
        """Say what the server causes, `LINES_PER_MINUTE` times for each kind of it."""
        now = self._clock()
        if now - self._minute_began >= MINUTE_S:
            self._minute_began = now
            self._say_left_out()
        self._lines[kind] += 1
        if self._lines[kind] <= LINES_PER_MINUTE:
            self._say(text)

    def _say_left_out(self) -> None:
        left_out = {
            kind: lines - LINES_PER_MINUTE
            for kind, lines in self._lines.items()
            if lines > LINES_PER_MINUTE
        }
        self._lines.clear()
        if left_out:
            kinds = ", ".join(f"{kind} {lines:,}" for kind, lines in sorted(left_out.items()))
            self._say(f"lines left out: {kinds}")

    def _say(self, text: str) -> None:
        typer.echo(text, err=True)

    def _note(self, text: str) -> None:
        """Say what holds for the whole run."""
        self._say(text)


class LiveView(LogView):
    """One line, always of now: for a terminal."""

    def __init__(self, target: str) -> None:
        super().__init__(target)
        self._status = Status(f"connecting to {target}", console=Console(stderr=True))

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._status.stop()

    def acknowledged(self, device: EmulatedDevice, packet: bytes, latency_s: float) -> None:
        report = device.report
        self._say(
            f"{device.imei}: {report.records_acknowledged:,} records in "
            f"{report.packets_acknowledged:,} packets acknowledged, {report.records_resent:,} "
            f"sent again, ACK after {latency_s * 1000:.1f} ms"
        )

    def _say(self, text: str) -> None:
        self._status.update(Text(text, no_wrap=True, overflow="ellipsis"))

    def _note(self, text: str) -> None:
        self._status.console.print(text)
