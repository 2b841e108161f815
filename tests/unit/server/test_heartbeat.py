"""Heartbeats in a real Valkey: of two runs with one id the newer stays."""

import asyncio
import contextlib
import json
import os
import socket
import time
from collections.abc import AsyncIterator

import pytest
import redis

from teltonika.server.background import background
from teltonika.server.connection_registry import ConnectionRegistry
from teltonika.server.deployment import deployment_of
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.errors import SupersededError
from teltonika.server.heartbeat import Heartbeat, State
from teltonika.server.keys import Keys
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import SCRIPTS

IMEI = "356307042441013"
KEYS = Keys()
KEY = KEYS.heartbeat("here")


class Run:
    """One run of the instance ``here``: its heartbeat and its registry."""

    def __init__(self, writer: RedisWriter, run_id: str) -> None:
        self.sessions = 0
        self.short_of: list[str] = []
        self.registry = ConnectionRegistry(writer, KEYS, "here", run_id)
        self.heartbeat = Heartbeat(
            writer,
            KEYS,
            self.registry,
            "here",
            run_id,
            interval_s=0.0,
            ttl_s=90,
            started_ms=1_769_846_400_000,
            state=self._state,
        )
        self._begun = asyncio.Semaphore(0)

    def _state(self) -> State:
        self._begun.release()
        return State(5027, self.sessions, self.short_of)

    async def beat(self) -> None:
        """One whole beat at least, or what it raises."""
        self._begun = asyncio.Semaphore(0)
        async with background(self.heartbeat.run()):
            for _ in range(2):  # the second begins when the first is done
                await self._begun.acquire()


@contextlib.asynccontextmanager
async def runs(valkey: EmbeddedValkey) -> AsyncIterator[tuple[Run, Run]]:
    """An older and a newer one."""
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()):
        yield Run(writer, "older"), Run(writer, "newer")


def run_in(client: redis.Redis) -> str | None:
    """Which run's heartbeat it is."""
    value = client.get(KEY)
    return None if value is None else json.loads(value)["run_id"]


async def test_a_heartbeat_tells_who_and_where_the_instance_is(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with runs(valkey) as (run, _):
        run.sessions = 3
        run.short_of = ["disk"]
        await run.heartbeat.take_over()
    assert json.loads(client.get(KEY)) == {
        "run_id": "older",
        "host": socket.gethostname(),
        "pid": os.getpid(),
        "started_at": "2026-01-31T08:00:00.000Z",
        "port": 5027,
        "sessions": 3,
        "ttl_s": 90,
        "short_of": ["disk"],
    }
    assert 60 < client.ttl(KEY) <= 90
    assert client.hgetall(KEYS.runs) == {"here": "older"}


async def test_taking_over_says_when_by_the_clock_of_redis(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time_ns", lambda: 0)
    monkeypatch.setattr(time, "time", lambda: 0.0)
    before = int(client.xadd("clock", {"a": "b"}).partition("-")[0])
    async with runs(valkey) as (run, _):
        moment = await run.heartbeat.take_over()
    assert before <= moment <= int(client.xadd("clock", {"a": "b"}).partition("-")[0])


async def test_each_beat_says_it_anew(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    async with runs(valkey) as (run, _):
        await run.heartbeat.take_over()
        client.expire(KEY, 5)
        run.sessions = 7
        await run.beat()
    assert json.loads(client.get(KEY))["sessions"] == 7
    assert client.ttl(KEY) > 60


async def test_the_newer_run_wins_and_the_older_one_finds_out(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with runs(valkey) as (older, newer):
        await older.heartbeat.take_over()
        await older.beat()
        await newer.heartbeat.take_over()
        with pytest.raises(SupersededError, match=r"instance id here: .*--instance-id"):
            await older.beat()
        assert run_in(client) == "newer"
        await newer.beat()
    assert run_in(client) == "newer"
    assert client.hget(KEYS.runs, "here") == "newer"


async def test_what_redis_lost_is_there_again_after_a_beat(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with runs(valkey) as (run, _):
        await run.heartbeat.take_over()
        run.registry.connected(IMEI)
        await run.registry.flush()
        client.flushall()
        await run.beat()
    assert run_in(client) == "older"
    assert client.hgetall(KEYS.registry) == {IMEI: "here"}
    assert client.hget(KEYS.runs, "here") == "older"


@pytest.mark.parametrize("value", ["", "no JSON", "17", "null", "{}", "[1]"])
async def test_a_value_that_is_no_heartbeat_is_written_over(
    value: str, valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.set(KEY, value)
    async with runs(valkey) as (run, _):
        await run.heartbeat.end()
        assert client.get(KEY) == value
        await run.beat()
    assert run_in(client) == "older"


async def test_the_end_removes_the_runs_own_heartbeat(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with runs(valkey) as (run, _):
        await run.heartbeat.take_over()
        await run.heartbeat.end()
        assert not client.exists(KEY)
        await run.heartbeat.end()
    assert not client.exists(KEY)


async def test_the_end_leaves_another_runs_heartbeat(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with runs(valkey) as (older, newer):
        await older.heartbeat.take_over()
        await newer.heartbeat.take_over()
        await older.heartbeat.end()
    assert run_in(client) == "newer"


async def test_an_older_run_learns_of_a_newer_one_that_came_and_went(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with runs(valkey) as (older, newer):
        await older.heartbeat.take_over()
        await newer.heartbeat.take_over()
        await newer.heartbeat.end()
        with pytest.raises(SupersededError):
            await older.beat()
    assert run_in(client) is None


async def test_an_instance_without_devices_is_known_again_after_redis_lost_all(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with runs(valkey) as (run, _):
        await run.heartbeat.take_over()
        client.flushall()
        await run.beat()
    assert client.hgetall(KEYS.runs) == {"here": "older"}
