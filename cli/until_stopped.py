"""Commands that go on until somebody has seen enough: that is no failure."""

import asyncio
import contextlib
import fcntl
import os
import signal
import stat
import sys
from collections.abc import Callable, Coroutine, Iterator

from teltonika.cli.event_loop import run
from teltonika.cli.standard_streams import discard_output


def run_until_stopped(main: Coroutine[None, None, None]) -> None:
    """Run to the end of ``main``, or to Ctrl-C, or SIGTERM, or until nobody reads the output.

    Then ``main`` is cancelled, once: what it does at its end is not cut short.
    """
    try:
        run(_stoppable(main))
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    except BrokenPipeError:
        discard_output()


async def _stoppable(main: Coroutine[None, None, None]) -> None:
    task = asyncio.current_task()
    assert task is not None
    is_stopped = False

    def stop() -> None:
        nonlocal is_stopped
        if not is_stopped:
            is_stopped = True
            task.cancel()

    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, stop)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # as in the background of a shell
        loop.add_signal_handler(signal.SIGINT, stop)
    with _told_when_nobody_reads(stop):
        await main


@contextlib.contextmanager
def _told_when_nobody_reads(stop: Callable[[], None]) -> Iterator[None]:
    """Where the output is a pipe: there may be nothing to write for long that would tell."""
    output = sys.stdout.fileno()
    if not _is_pipe(output):
        yield
        return
    # there is never anything to read at this end: what can be told is that the other is gone
    loop = asyncio.get_running_loop()
    loop.add_reader(output, stop)
    try:
        yield
    finally:
        loop.remove_reader(output)


def _is_pipe(descriptor: int) -> bool:
    is_for_writing = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
    return is_for_writing and stat.S_ISFIFO(os.fstat(descriptor).st_mode)
