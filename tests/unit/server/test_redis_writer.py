"""Commands that must happen, in their order, whatever becomes of the connection."""

import asyncio
import os
import signal
from pathlib import Path

import pytest
import redis
import redis.asyncio
from valkey_node import Node

from teltonika.server import redis_lane as redis_lane_module
from teltonika.server.background import background
from teltonika.server.deployment import OneServer, deployment_of
from teltonika.server.durability import Durability, Promise
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.errors import RedisRefusedError
from teltonika.server.redis_link import Reply, pack_command
from teltonika.server.redis_url import RedisUrl, parse_redis_url
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import BEAT, DELETE_IF_EMPTY, SCRIPTS


def push(writer: RedisWriter, numbers: range, done: list[Reply] | None = None) -> None:
    """Append numbers to a list in Redis; its length after each goes to ``done``."""
    replies = [] if done is None else done
    for number in numbers:
        writer.submit(replies.append, "RPUSH", "numbers", number)


def numbers(client: redis.Redis) -> list[int]:
    return [int(number) for number in client.lrange("numbers", 0, -1)]


async def kill(valkey: EmbeddedValkey, client: redis.Redis) -> None:
    os.kill(client.info("server")["process_id"], signal.SIGKILL)
    await valkey.stop()


async def test_each_is_told_its_reply_in_the_order_of_the_commands(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_lane_module, "MAX_BATCH", 3)
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    replies: list[Reply] = []
    async with background(writer.run()):
        push(writer, range(10), replies)
        assert writer.waiting == 10
        await writer.idle()
    assert numbers(client) == list(range(10))
    assert replies == list(range(1, 11))
    assert writer.waiting == 0


async def test_a_caller_waits_for_its_reply(valkey: EmbeddedValkey) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()):
        assert await writer.call("SET", "key", b"\xff") == b"OK"
        assert await asyncio.gather(writer.call("GET", "key"), writer.call("GET", "none")) == [
            b"\xff",
            None,
        ]


async def test_a_caller_that_gives_up_takes_nothing_with_it(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with asyncio.TaskGroup() as group:
        caller = group.create_task(writer.call("RPUSH", "numbers", 0))
        await asyncio.sleep(0)
        caller.cancel()
    push(writer, range(1, 3))
    async with background(writer.run()):
        await writer.idle()
    assert numbers(client) == [0, 1, 2]


async def test_idle_waits_for_what_a_reply_brought_about(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    writer.submit(lambda _: push(writer, range(1, 3)), "RPUSH", "numbers", 0)
    async with background(writer.run()):
        await writer.idle()
        assert numbers(client) == [0, 1, 2]


async def test_what_is_queued_while_redis_is_away_happens_when_it_is_back(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """Some was on its way and not executed, some came in between, and some comes after."""
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    replies: list[Reply] = []
    async with background(writer.run()):
        push(writer, range(1), replies)
        await writer.idle()
        client.client_pause(600_000, all=False)
        push(writer, range(1, 4), replies)
        await asyncio.sleep(0)  # the loop's next turn writes them
        await kill(valkey, client)
        push(writer, range(4, 6), replies)
        assert replies == [1]
        await valkey.start()
        await writer.idle()
        push(writer, range(6, 8), replies)
        await writer.idle()
    assert numbers(client) == list(range(8))
    assert replies == list(range(1, 9))


async def test_what_has_no_reply_is_sent_again_and_what_has_one_is_not(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """A script that is not there breaks the batch: those behind it were executed, and are again."""
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    told: list[str] = []
    async with background(writer.run()):
        await writer.call("PING", at="key")
        client.script_flush()
        writer.submit(lambda _: told.append("before"), "RPUSH", "before", "value")
        writer.submit_script(lambda _: told.append("script"), DELETE_IF_EMPTY, ("stream",))
        writer.submit(lambda _: told.append("behind"), "RPUSH", "behind", "value")
        await writer.idle()
    assert told == ["before", "script", "behind"]
    assert [client.llen(key) for key in ("before", "behind")] == [1, 2]


async def test_what_is_refused_for_ever_is_told_and_holds_up_nothing(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    client.set("text", "no stream")
    refused: list[str] = []
    async with background(writer.run()):
        push(writer, range(1))
        for _ in range(2):
            writer.submit(
                lambda _: None, "RPUSH", "text", 1, refused=lambda error: refused.append(str(error))
            )
        push(writer, range(1, 3))
        with pytest.raises(RedisRefusedError, match=r"refuses delete_if_empty.lua text: WRONGTYPE"):
            await writer.call_script(DELETE_IF_EMPTY, ("text",))
        with pytest.raises(RedisRefusedError, match="refuses NO-SUCH-COMMAND key: unknown command"):
            await writer.call("NO-SUCH-COMMAND", "key")
    assert numbers(client) == [0, 1, 2]
    assert len(refused) == 2
    assert refused[0].startswith("Redis refuses RPUSH text: WRONGTYPE")


async def test_what_is_refused_for_now_is_sent_again(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()), redis.asyncio.Redis.from_url(valkey.url) as other:
        client.config_set("min-replicas-to-write", 1)
        call = asyncio.ensure_future(writer.call("SET", "key", "value"))
        refusals = 0
        while refusals < 2:
            errors = await other.info("errorstats")
            refusals = errors.get("errorstat_NOREPLICAS", {}).get("count", 0)
        assert not call.done()
        client.config_set("min-replicas-to-write", 0)
        assert await call == b"OK"


async def test_flushed_scripts_are_loaded_again(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()):
        assert await writer.call_script(DELETE_IF_EMPTY, ("stream",)) == 0
        client.script_flush()
        client.xgroup_create("stream", "group", mkstream=True)
        push(writer, range(2))
        assert await writer.call_script(DELETE_IF_EMPTY, ("stream",)) == 1
        push(writer, range(2, 4))
        await writer.idle()
    assert numbers(client) == [0, 1, 2, 3]
    assert not client.exists("stream")


async def test_a_redis_that_does_not_answer_is_left_for_a_new_connection(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()), redis.asyncio.Redis.from_url(valkey.url) as other:
        await writer.call("PING", at="key")
        client.client_pause(600_000, all=False)
        async with other.monitor() as monitor:
            monkeypatch.setattr(redis_lane_module, "REPLY_TIMEOUT_S", 0.05)
            writer.submit(lambda _: None, "SET", "key", "value")
            while not (await monitor.next_command())["command"].startswith("SCRIPT LOAD"):
                pass
            monkeypatch.undo()
        client.client_unpause()
        await writer.idle()
    assert client.get("key") == "value"


class ToldOfFailures(OneServer):
    """A Redis of which one can wait for a connection to fail."""

    def __init__(self, url: RedisUrl) -> None:
        super().__init__(url)
        self.failed_once = asyncio.Event()

    def failed(self, error: BaseException) -> None:
        self.failed_once.set()


async def test_a_redis_that_stands_still_and_takes_no_more_is_left_for_a_new_connection(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More waits than goes into the buffers of a socket: it cannot be written to its end."""
    there = ToldOfFailures(parse_redis_url(valkey.url))
    writer = RedisWriter(there, SCRIPTS)
    pid = client.info("server")["process_id"]
    async with background(writer.run()):
        await writer.call("PING", at="numbers")
        os.kill(pid, signal.SIGSTOP)
        try:
            monkeypatch.setattr(redis_lane_module, "REPLY_TIMEOUT_S", 0.05)
            for _ in range(400):
                writer.submit(lambda _: None, "SET", "key", bytes(30_000))
            async with asyncio.timeout(30):
                await there.failed_once.wait()
        finally:
            monkeypatch.undo()
            os.kill(pid, signal.SIGCONT)
        await writer.idle()
    assert client.strlen("key") == 30_000


async def test_what_is_lasting_is_told_once_a_replica_has_it(tmp_path: Path) -> None:
    primary, replica = Node(tmp_path / "primary"), Node(tmp_path / "replica")
    promise = Promise(Durability.REPLICA, pack_command("WAIT", 1, 50))
    try:
        primary.start().close()
        there = ToldOfFailures(parse_redis_url(primary.tcp_url))
        writer = RedisWriter(there, SCRIPTS, promise)
        async with background(writer.run()):
            beat = asyncio.ensure_future(
                writer.call_script(BEAT, ("beat",), "run", "{}", 90, lasting=True)
            )
            await writer.call("SET", "key", "value")  # nobody waits for a replica because of it
            async with asyncio.timeout(30):
                await there.failed_once.wait()
            assert not beat.done()
            with replica.start("--replicaof", f"127.0.0.1 {primary.port}") as copy:
                assert await beat == 1
                assert copy.get("beat") == "{}"
    finally:
        replica.kill()
        primary.kill()
