"""Workers that die, as real processes that do nothing else."""

import asyncio
import random
import sys
from collections.abc import Sequence
from typing import Any

import pytest
from structlog.testing import capture_logs

from teltonika.server.config import ServerSettings
from teltonika.server.errors import SupersededError, WorkerError
from teltonika.server.logs import LogFormat, LogLevel
from teltonika.server.workers import worker_keeper
from teltonika.server.workers.messages import Accepts, Failed, FromWorker, Setup, encode
from teltonika.server.workers.supervisor import Workers
from teltonika.server.workers.worker_keeper import WorkerKeeper

SAYS = """
import sys, time
for message in map(bytes.fromhex, sys.argv[2:-1]):
    open(1 - 1, "wb", closefd=False).write(len(message).to_bytes(4) + message)
time.sleep(float(sys.argv[1]))
sys.exit(3)
"""


def process(lives_s: float, *says: FromWorker) -> tuple[str, ...]:
    """A worker that says this, lives for so long and ends with exit code 3."""
    return (sys.executable, "-S", "-c", SAYS, str(lives_s), *(encode(one).hex() for one in says))


def setups(count: int, drain_timeout_s: float = 10.0) -> list[Setup]:
    settings = ServerSettings(instance_id="gate-1", drain_timeout_s=drain_timeout_s)
    return [
        Setup(number, settings, LogFormat.JSON, LogLevel.INFO) for number in range(1, count + 1)
    ]


def workers(command: tuple[str, ...], count: int = 1, *, drain_timeout_s: float = 10.0) -> Workers:
    return Workers(setups(count, drain_timeout_s), command, ())


async def died(command: tuple[str, ...], times: int) -> Sequence[dict[str, Any]]:
    """The log's lines of so many deaths."""
    starts = 0

    def accepts() -> None:
        nonlocal starts
        starts += 1
        if starts > times:
            keeper.stop()

    (setup,) = setups(1)
    keeper = WorkerKeeper(setup, command, (), accepts, lambda *_: None)
    with capture_logs() as lines:
        await keeper.run()
    assert keeper.restarts == times
    return [dict(line) for line in lines if line["event"] == "worker_died"]


async def test_a_crash_loop_backs_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.1)
    deaths = await died(process(0, Accepts()), 4)
    assert [one["again_in_s"] for one in deaths] == [0.02, 0.04, 0.08, 0.16]
    assert {one["exit_code"] for one in deaths} == {3}
    assert len({one["pid"] for one in deaths}) == 4


async def test_after_a_long_life_the_pauses_begin_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.1)
    monkeypatch.setattr(worker_keeper, "LONG_LIFE_S", 0.0)
    deaths = await died(process(0, Accepts()), 3)
    assert [one["again_in_s"] for one in deaths] == [0.02, 0.02, 0.02]


async def test_a_worker_that_fails_at_the_first_start_ends_all_with_its_sentence() -> None:
    told: list[str] = []
    with pytest.raises(WorkerError, match=r"^the sentence$"):
        await workers(process(0, Failed("the sentence", superseded=False)), 2).run(
            asyncio.Event(), lambda: told.append("listening")
        )
    assert told == []


async def test_one_that_says_nothing_before_it_dies_is_told_by_its_exit_code() -> None:
    with pytest.raises(WorkerError, match="worker 1 did not start: it ended with exit code 3"):
        await workers(process(0)).run(asyncio.Event(), lambda: None)


async def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(WorkerError, match="cannot start a process: No such file"):
        await workers(("/nowhere/python",)).run(asyncio.Event(), lambda: None)


async def test_one_whose_id_another_server_has_ends_all_and_is_not_started_again() -> None:
    says = (Accepts(), Failed("taken over", superseded=True))
    with pytest.raises(SupersededError, match=r"^taken over$"):
        await workers(process(0, *says)).run(asyncio.Event(), lambda: None)


async def test_one_that_does_not_drain_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_keeper, "TO_END_S", 0.1)
    stop = asyncio.Event()
    supervised = workers(process(600, Accepts()), drain_timeout_s=0)
    with capture_logs() as lines, pytest.raises(WorkerError, match="did not drain in time"):
        await supervised.run(stop, stop.set)
    assert [line["event"] for line in lines][-1] == "worker_killed"


async def test_cancelled_no_process_is_left() -> None:
    listening = asyncio.Event()
    supervised = workers(process(600, Accepts()), 2)
    task = asyncio.create_task(supervised.run(asyncio.Event(), listening.set))
    await listening.wait()
    processes = [keeper.run_now for keeper in supervised.keepers]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert all(one is not None and one.has_ended for one in processes)
