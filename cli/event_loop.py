"""Which event loop the commands run on: uvloop where it exists, asyncio's elsewhere."""

import asyncio
from collections.abc import Coroutine
from typing import TypeVar

T = TypeVar("T")


def run(main: Coroutine[None, None, T]) -> T:
    """Run ``main`` to its end, as `asyncio.run` does.

    A task group that failed in one task only raises what that task raised.
    """
    try:
        return _run(main)
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) == 1:
            raise failures.exceptions[0] from None
        raise


def _run(main: Coroutine[None, None, T]) -> T:
    try:
        from uvloop import new_event_loop  # noqa: PLC0415 - not on every platform
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=new_event_loop) as runner:
        return runner.run(main)
