"""Commands that go on until somebody has seen enough: that is no failure."""

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Coroutine

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
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    output = sys.stdout.fileno()
    is_pipe = stat.S_ISFIFO(os.fstat(output).st_mode)
    if is_pipe:  # this end of one is never to be read: what there is to hear is that nobody does
        loop.add_reader(output, task.cancel)
    try:
        await main
    finally:
        if is_pipe:
            loop.remove_reader(output)
