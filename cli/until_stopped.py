"""Commands that go on until somebody has seen enough: that is no failure."""

import asyncio
import contextlib
import fcntl
import os
import signal
import stat
import sys
from collections.abc import Coroutine, Iterator

from teltonika.cli.event_loop import run
from teltonika.cli.standard_streams import discard_output


def run_until_stopped(main: Coroutine[None, None, None]) -> None:
    """Run to the end of ``main``, or to Ctrl-C, or SIGTERM, or until nobody reads the output."""
    try:
        run(_stoppable(main))
    except (KeyboardInterrupt, asyncio.CancelledError):
        pass
    except BrokenPipeError:
        discard_output()


async def _stoppable(main: Coroutine[None, None, None]) -> None:
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    with _cancelled_when_nobody_reads(task):
        await main


@contextlib.contextmanager
def _cancelled_when_nobody_reads(task: asyncio.Task[None]) -> Iterator[None]:
    """Where the output is a pipe: there may be nothing to write for long that would tell."""
    output = sys.stdout.fileno()
    if not _is_pipe(output):
        yield
        return
    loop = asyncio.get_running_loop()

    def closed() -> None:
        loop.remove_reader(output)  # it would be told again and again
        task.cancel()

    # there is never anything to read at this end: what can be told is that the other is gone
    loop.add_reader(output, closed)
    try:
        yield
    finally:
        loop.remove_reader(output)


def _is_pipe(descriptor: int) -> bool:
    is_for_writing = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE == os.O_WRONLY
    return is_for_writing and stat.S_ISFIFO(os.fstat(descriptor).st_mode)
