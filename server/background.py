"""Tasks that belong to a block of code."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Coroutine

CANCELLED_AGAIN_S = 0.05


@contextlib.asynccontextmanager
async def background(*work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Run ``work`` beside the body, and cancel it when the body is done.

    If one of them fails, the body is cancelled and that failure raised.
    """
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(one) for one in work]
            yield
            for task in tasks:
                task.cancel()
    except BaseExceptionGroup as failures:
        if len(failures.exceptions) == 1:
            raise failures.exceptions[0] from None
        raise


async def apart(work: Coroutine[None, None, None]) -> None:
    """Do ``work`` in a task of its own, so that whoever is cancelled here is.

    A cancellation can get lost when something fails or is done in the same moment: in a TaskGroup
    before Python 3.13, and before 3.12 in `asyncio.wait_for`, which redis-py uses. So ``work`` is
    cancelled until it has ended.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait([task])
    except asyncio.CancelledError:
        while not task.done():
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):  # it is raised below
                await asyncio.wait([task], timeout=CANCELLED_AGAIN_S)
        if not task.cancelled():
            task.exception()  # nobody is told of it any more
        raise
    task.result()
