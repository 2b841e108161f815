"""Work that is cancelled ends, whatever it makes of that."""

import asyncio
import contextlib

import pytest

from teltonika.server.background import apart


async def test_work_that_takes_no_notice_of_being_cancelled_is_cancelled_again() -> None:
    waits, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            waits.set()
            await asyncio.Event().wait()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    working = asyncio.create_task(apart(work()))
    await waits.wait()
    working.cancel()
    await asyncio.wait([working], timeout=5)
    assert (working.cancelled(), ended.is_set()) == (True, True)


async def test_a_failure_is_that_of_the_work() -> None:
    async def work() -> None:
        raise OSError("the network is gone")

    with pytest.raises(OSError, match="the network is gone"):
        await apart(work())
