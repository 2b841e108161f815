"""Commands' states and statuses in a real Valkey: one ending each, whatever is repeated."""

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
import redis
import redis.asyncio

from teltonika.codecs import COMMAND_CODECS, CommandMessage, MessageType
from teltonika.codecs.commands import CommandCodec
from teltonika.server import command_ledger as command_ledger_module
from teltonika.server.background import background
from teltonika.server.command import CommandRef, Entry
from teltonika.server.command_ledger import GROUP, CommandLedger, Found
from teltonika.server.command_queue import Reason
from teltonika.server.deployment import deployment_of
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.keys import Keys
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import COMMAND_STEP, SCRIPTS

IMEI = "356307042441013"
KEYS = Keys()
OUTBOUND = KEYS.outbound("here")
ANSWER = CommandMessage(0x0C, MessageType.RESPONSE, b"RTC:2026 \xff")
COMMON = {"command_id": "c1", "imei": IMEI, "instance_id": "here", "codec": "12"}
"""What every status says."""


class Run:
    """One run of an instance: its ledger, with what a call came to as a return value."""

    def __init__(self, writer: RedisWriter, run_id: str, *, maxlen: int = 0) -> None:
        self.ledger = CommandLedger(writer, KEYS, run_id, remember_s=3_600, stream_maxlen=maxlen)
        self._writer = writer

    async def claim(self, ref: CommandRef) -> Found:
        return await self.ledger.claim(ref)

    async def prepare(self, ref: CommandRef) -> bool:
        """Whether it may be written."""
        word = asyncio.get_running_loop().create_future()
        self.ledger.prepare(ref, word.set_result)
        return await word

    async def deliver(self, ref: CommandRef) -> None:
        self.ledger.deliver(ref, "here")
        await self._writer.idle()

    async def respond(self, ref: CommandRef) -> None:
        done = asyncio.Event()
        self.ledger.respond(ref, "here", ANSWER, done.set)
        await done.wait()

    async def fail(self, ref: CommandRef, reason: Reason = Reason.TIMEOUT) -> None:
        done = asyncio.Event()
        self.ledger.fail(ref, "here", reason, "because", done.set)
        await done.wait()

    async def bring_to(self, ref: CommandRef, state: Found) -> None:
        """Claim a command and take it as far as that."""
        assert await self.claim(ref) is Found.QUEUED
        if state is not Found.QUEUED:
            assert await self.prepare(ref)
        if state in {Found.DELIVERED, Found.ENDED}:
            await self.deliver(ref)
        if state is Found.ENDED:
            await self.respond(ref)


@contextlib.asynccontextmanager
async def runs(valkey: EmbeddedValkey) -> AsyncIterator[tuple[Run, Run]]:
    """An older and a newer run."""
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()):
        yield Run(writer, "older"), Run(writer, "newer")


def publish(client: redis.Redis, command_id: str = "c1") -> CommandRef:
    """A command on the stream, read by the group and not acknowledged."""
    with contextlib.suppress(redis.ResponseError):
        client.xgroup_create(OUTBOUND, GROUP, "0", mkstream=True)
    entry_id = client.xadd(OUTBOUND, {"command_id": command_id})
    client.xreadgroup(GROUP, "here", {OUTBOUND: ">"})
    return CommandRef(Entry(OUTBOUND, entry_id), command_id, IMEI, "12")


def stands(client: redis.Redis, ref: CommandRef) -> bool:
    """Whether the entry still is on the stream, and to be acknowledged."""
    on_stream = bool(client.xrange(OUTBOUND, ref.entry.id, ref.entry.id))
    waits = bool(client.xpending_range(OUTBOUND, GROUP, ref.entry.id, ref.entry.id, 1))
    assert on_stream == waits
    return on_stream


def statuses(client: redis.Redis, command_id: str = "c1") -> list[str]:
    """A command's statuses in their order, with reasons."""
    entries = [fields for _, fields in client.xrange(KEYS.responses)]
    return [
        " ".join([entry["status"], *entry.get("reason", "").split()])
        for entry in entries
        if entry["command_id"] == command_id
    ]


async def test_an_answered_commands_statuses_have_the_contracts_fields(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    ref = publish(client)
    async with runs(valkey) as (run, _):
        await run.bring_to(ref, Found.ENDED)
    (_, delivered), (_, responded) = client.xrange(KEYS.responses)
    for status in (delivered, responded):
        moment = datetime.fromisoformat(status.pop("ts"))
        assert abs((datetime.now(UTC) - moment).total_seconds()) < 60
    assert delivered == COMMON | {"status": "delivered"}
    answer = {"response": r"RTC:2026 \xff", "response_hex": "5254433a3230323620ff"}
    assert responded == COMMON | {"status": "responded"} | answer


async def test_a_failed_commands_status_says_why(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    ref = publish(client)
    async with runs(valkey) as (run, _):
        await run.claim(ref)
        await run.fail(ref, Reason.QUEUE_FULL)
    ((_, failed),) = client.xrange(KEYS.responses)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", failed.pop("ts"))
    assert failed == COMMON | {"status": "failed", "reason": "queue_full", "detail": "because"}


async def test_a_claim_says_how_far_the_command_is(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with runs(valkey) as (older, newer):
        for state in (Found.QUEUED, Found.WRITING, Found.DELIVERED, Found.ENDED):
            ref = publish(client, state)
            await older.bring_to(ref, state)
            assert await newer.claim(ref) is state
            assert await newer.claim(ref) is state


async def test_whatever_is_repeated_there_is_one_delivered_and_one_ending(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    ref = publish(client)
    async with runs(valkey) as (run, _):
        for _ in range(2):
            assert await run.claim(ref) is Found.QUEUED
        for _ in range(2):
            assert await run.prepare(ref)
        for _ in range(2):
            await run.deliver(ref)
        for _ in range(2):
            await run.respond(ref)
        await run.fail(ref)
        await run.deliver(ref)
    assert statuses(client) == ["delivered", "responded"]
    assert not stands(client, ref)


def test_a_step_that_is_repeated_writes_again(client: redis.Redis) -> None:
    """Who repeats it, on a new connection, waits for replicas to have what that one has written."""
    keys = KEYS.responses, KEYS.command("c1")

    def changes() -> int:
        return int(client.info("persistence")["rdb_changes_since_last_save"])

    for step in ("claim", "claim", "write", "write", *("delivered", "end") * 2, "claim"):
        before = changes()
        who = (step, f"{OUTBOUND}/1-0", "run", 0)
        client.eval(COMMAND_STEP.source, 2, *keys, *who, "command_id", "c1")
        assert changes() > before, step
    assert client.xlen(KEYS.responses) == 2


async def test_a_command_that_was_written_must_not_be_again(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with runs(valkey) as (run, _):
        for state in (Found.DELIVERED, Found.ENDED):
            ref = publish(client, state)
            await run.bring_to(ref, state)
            assert not await run.prepare(ref)


async def test_a_command_is_delivered_only_if_that_it_is_written_was_stored(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    ref = publish(client)
    async with runs(valkey) as (run, _):
        await run.claim(ref)
        await run.deliver(ref)
    assert statuses(client) == []


async def test_each_commands_order_is_kept_when_many_go_out_together(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    refs = [publish(client, f"c{number}") for number in range(20)]
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    run = Run(writer, "run")
    for ref in refs:
        run.ledger.prepare(ref, lambda _: None)
        run.ledger.deliver(ref, "here")
    for ref in refs:
        run.ledger.respond(ref, "here", ANSWER, lambda: None)
    async with background(writer.run()):
        await writer.idle()
    for ref in refs:
        assert statuses(client, ref.command_id) == ["delivered", "responded"]
    assert client.xlen(OUTBOUND) == 0


async def test_a_second_entry_with_the_same_id_is_a_duplicate_as_long_as_it_is_remembered(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    first, second = publish(client), publish(client)
    async with runs(valkey) as (run, other):
        await run.claim(first)
        assert await run.claim(second) is Found.DUPLICATE
        assert await other.claim(second) is Found.DUPLICATE
        assert await run.prepare(first)  # it is as it was
        await run.deliver(first)
        await run.respond(first)
        assert await run.claim(second) is Found.DUPLICATE
        assert 3_500 < client.ttl(KEYS.command("c1")) <= 3_600
        client.delete(KEYS.command("c1"))
        assert await run.claim(second) is Found.QUEUED
    assert statuses(client) == ["delivered", "responded"]


async def test_a_duplicates_steps_do_nothing_to_the_first(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    first, second = publish(client), publish(client)
    async with runs(valkey) as (run, _):
        await run.bring_to(first, Found.WRITING)
        assert not await run.prepare(second)
        await run.deliver(second)
        await run.fail(second)
        assert statuses(client) == []
        assert stands(client, second)
        await run.deliver(first)
    assert statuses(client) == ["delivered"]


@pytest.mark.parametrize("state", [Found.QUEUED, Found.WRITING, Found.DELIVERED])
async def test_an_older_runs_steps_do_nothing(
    state: Found, valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    ref = publish(client)
    async with runs(valkey) as (older, newer):
        await older.bring_to(ref, state)
        assert await newer.claim(ref) is state
        before = statuses(client)
        assert not await older.prepare(ref)
        await older.deliver(ref)
        await older.respond(ref)
        await older.fail(ref)
        assert statuses(client) == before
        assert stands(client, ref)
        assert await newer.claim(ref) is state
        await newer.fail(ref, Reason.INSTANCE_LOST)
        await older.respond(ref)
    assert statuses(client) == [*before, "failed instance_lost"]
    assert not stands(client, ref)


async def test_what_another_run_has_ended_any_run_lets_go_of(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    ref = publish(client)
    async with runs(valkey) as (older, newer):
        await older.bring_to(ref, Found.DELIVERED)
        client.hset(KEYS.command("c1"), "state", "ended")  # and was killed before the rest
        await newer.fail(ref)
    assert statuses(client) == ["delivered"]
    assert not stands(client, ref)


async def test_after_redis_lost_everything_the_run_knows_how_far_its_commands_are(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with runs(valkey) as (run, _):
        refs = {state: publish(client, state) for state in Found}
        for state in (Found.QUEUED, Found.WRITING, Found.DELIVERED):
            await run.bring_to(refs[state], state)
        client.flushall()
        assert await run.prepare(refs[Found.QUEUED])
        await run.deliver(refs[Found.QUEUED])
        await run.respond(refs[Found.QUEUED])
        await run.deliver(refs[Found.WRITING])
        await run.respond(refs[Found.WRITING])
        await run.fail(refs[Found.DELIVERED])
        await run.fail(refs[Found.DELIVERED])
    assert statuses(client, "queued") == ["delivered", "responded"]
    assert statuses(client, "writing") == ["delivered", "responded"]
    assert statuses(client, "delivered") == ["failed timeout"]


async def test_an_entry_is_let_go_of_after_its_ending_is_stored_and_not_before(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_ledger_module, "REFUSED_PAUSE_S", 0.05)
    ref = publish(client)
    async with (
        runs(valkey) as (run, _),
        redis.asyncio.Redis.from_url(valkey.url) as other,
        other.monitor() as monitor,
    ):
        await run.claim(ref)
        client.set(KEYS.responses, "no stream")  # the ending cannot be stored
        ending = asyncio.ensure_future(run.fail(ref))
        for _ in range(2):  # and is tried again
            while "end" not in (await monitor.next_command())["command"].split():
                pass
        assert stands(client, ref)
        assert not ending.done()
        client.delete(KEYS.responses)
        await ending
    assert statuses(client) == ["failed timeout"]
    assert not stands(client, ref)


async def test_a_command_whose_statuses_are_refused_holds_up_nothing_and_tells_them_once(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command_ledger_module, "REFUSED_PAUSE_S", 0.05)
    ref = publish(client)
    async with runs(valkey) as (run, _):
        await run.bring_to(ref, Found.WRITING)
        client.set(KEYS.responses, "no stream")
        await run.deliver(ref)
        ending = asyncio.ensure_future(run.respond(ref))
        other = publish(client, "c2")
        assert await run.claim(other) is Found.QUEUED
        assert await run.prepare(other)
        assert not ending.done()
        client.delete(KEYS.responses)
        await ending
    names = [status.partition(" ")[0] for status in statuses(client)]
    assert names in (["delivered", "responded"], ["responded"])
    assert not stands(client, ref)


async def test_what_cannot_be_claimed_or_prepared_is_not_written_and_keeps_its_entry(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    ref = publish(client)
    async with runs(valkey) as (run, _):
        await run.claim(ref)
        client.set(KEYS.command("c1"), "no hash")
        assert not await run.prepare(ref)
        assert await run.claim(ref) is Found.UNKNOWN
        assert stands(client, ref)
        client.delete(KEYS.command("c1"))
        assert await run.claim(ref) is Found.QUEUED


async def test_what_has_no_id_is_remembered_by_its_place(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    first, second = publish(client, ""), publish(client, "")
    async with runs(valkey) as (run, _):
        for ref in (first, second):
            assert await run.claim(ref) is Found.QUEUED
            await run.fail(ref, Reason.INVALID)
            assert await run.claim(ref) is Found.ENDED
    assert statuses(client, "") == ["failed invalid"] * 2


@pytest.mark.parametrize(("maxlen", "left"), [(0, 30), (10, 10)])
async def test_streams_are_trimmed_to_maxlen_and_never_at_zero(
    maxlen: int, left: int, valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    client.config_set("stream-node-max-entries", 1)  # what is roughly 10 is exactly 10 then
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    run = Run(writer, "run", maxlen=maxlen)
    async with background(writer.run()):
        for number in range(30):
            run.ledger.unasked(IMEI, ANSWER, lambda: None)
            await run.fail(publish(client, f"c{number}"))
        await writer.idle()
    assert client.xlen(KEYS.responses) == client.xlen(KEYS.messages) == left


@pytest.mark.parametrize("codec", list(COMMAND_CODECS), ids=repr)
async def test_a_message_that_nobody_waits_for_has_the_contracts_fields(
    codec: CommandCodec, valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    message = CommandMessage(codec.codec_id, MessageType.RESPONSE, b"door \xff", IMEI)
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    Run(writer, "run").ledger.unasked(IMEI, message, lambda: None)
    async with background(writer.run()):
        await writer.idle()
    ((_, entry),) = client.xrange("telemetry:teltonika:messages")
    assert entry.pop("ts").endswith("Z")
    expected = {"device_id": IMEI, "codec": codec.name, "text": r"door \xff"}
    assert entry == expected | {"hex": "646f6f7220ff"}


async def test_nothing_is_forgotten_while_the_entry_stands_and_all_of_it_later(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """However long nothing runs: a command that may have been written is never written again."""
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    async with background(writer.run()):
        run = Run(writer, "mine")
        ref = publish(client)
        await run.claim(ref)
        await run.prepare(ref)
        await run.deliver(ref)
        assert client.ttl(KEYS.command("c1")) == -1
        await run.respond(ref)
    assert 0 < client.ttl(KEYS.command("c1")) <= 3_600
    assert client.xlen(OUTBOUND) == 0


async def test_a_message_that_is_refused_for_ever_is_not_waited_for(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    """Its device would be held back for the memory that it takes."""
    client.set(KEYS.messages, "of another type")
    writer = RedisWriter(deployment_of(valkey.url), SCRIPTS)
    over = asyncio.Event()
    Run(writer, "run").ledger.unasked(IMEI, ANSWER, over.set)
    async with background(writer.run()):
        await writer.idle()
    assert over.is_set()
