"""What a person sees while a device runs, on standard error: a log, or one live line."""

from types import TracebackType
from typing import Self

import typer
from rich.console import Console
from rich.status import Status
from rich.text import Text

from teltonika.codecs.printable import printable
from teltonika.emulator import DeviceObserver, EmulatedDevice


def told_faults(faults: dict[str, int]) -> str:
    """How often each was done on purpose."""
    return ", ".join(f"{name} {count:,}" for name, count in sorted(faults.items()))


class LogView(DeviceObserver):
    """A line for each thing that happens to a connection; shown between ``with`` and its end."""

    def __init__(self, target: str) -> None:
        self._target = target

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        pass

    def connected(self, device: EmulatedDevice) -> None:
        self._say(f"{device.imei}: connected to {self._target}")

    def ack_refused(self, device: EmulatedDevice, expected: int, found: int) -> None:
        self._say(f"{device.imei}: an ACK of {found} records where {expected} were in flight")

    def command_executed(self, device: EmulatedDevice, text: str) -> None:
        self._say(f"{device.imei}: executed {printable(text)}")

    def command_ignored(self, device: EmulatedDevice, text: str, reason: str) -> None:
        self._say(f"{device.imei}: did not execute {printable(text)}: {reason}")

    def disconnected(self, device: EmulatedDevice, reason: str, retry_in_s: float) -> None:
        self._say(f"{device.imei}: {self._target}: {reason}; trying again in {retry_in_s:.1f} s")

    def unverified(self) -> None:
        """The server may be anybody."""
        self._note("the server's certificate is not verified")

    def stopping(self) -> None:
        """Somebody asked for the end, and has to wait a moment."""
        self._say("stopping once the packet in flight is acknowledged")

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
