"""A `teltonika` command that goes on until it is told to end, and what it prints meanwhile."""

import signal
import subprocess
from types import TracebackType
from typing import Self

from serving import TELTONIKA


class Watcher:
    """It runs from ``with`` to `stop`, or to the end of ``with``."""

    def __init__(self, *arguments: str) -> None:
        self.process = subprocess.Popen(
            [TELTONIKA, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    def line(self) -> str:
        """The next line of its output; empty at the end."""
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def said(self) -> str:
        """The next line of what it says on standard error."""
        assert self.process.stderr is not None
        return self.process.stderr.readline()

    def stop(self, number: signal.Signals = signal.SIGINT) -> tuple[int, str, str]:
        """Exit code, the rest of its output, and what it has said."""
        self.process.send_signal(number)
        output, said = self.process.communicate(timeout=30)
        return self.process.returncode, output, said
