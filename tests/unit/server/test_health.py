"""The event loop's lag, and reasons not to be ready, where a running server would take too long."""

import asyncio
import time

from teltonika.server.background import background
from teltonika.server.counters import Counters
from teltonika.server.deployment import deployment_of
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.health import LATE_S, LOOK_PERIOD_S, LoopWatch, Readiness
from teltonika.server.keys import Keys


async def test_a_loop_that_was_held_up_is_late_and_healthy_again_at_the_next_look() -> None:
    lags = Counters().event_loop_lag_s
    watch = LoopWatch(lags)
    assert watch.complaints() == []
    async with background(watch.run()):
        await asyncio.sleep(0)  # its first look begins
        time.sleep(LOOK_PERIOD_S + LATE_S + 0.1)
        while not lags.observations:
            await asyncio.sleep(0)
        (complaint,) = watch.complaints()
        assert complaint.startswith("the event loop was 1.")
        assert lags.total > LATE_S
        while lags.observations == 1:
            await asyncio.sleep(0)
        assert watch.complaints() == []


async def test_each_reason_is_told(valkey: EmbeddedValkey) -> None:
    is_open = draining = False
    full: list[str] = []
    readiness = Readiness(
        deployment_of(valkey.url),
        Keys().shards,
        is_open=lambda: is_open,
        draining=lambda: draining,
        storage=lambda: full,
    )
    assert await readiness.complaints() == ["the port for devices is not open yet"]
    is_open = True
    assert await readiness.complaints() == []
    full.append("no disk")
    assert await readiness.complaints() == ["no disk"]
    full.clear()
    draining = True
    await valkey.stop()
    drains, refusal = await readiness.complaints()
    assert drains == "the server stops: it drains"
    assert refusal.startswith("Redis does not answer: ")
