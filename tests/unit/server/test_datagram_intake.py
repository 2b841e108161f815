"""Datagrams in, answers out, with a real Valkey or with none: no sockets."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from typing import Any

import datagrams
import pytest
import redis
from datagrams import answer, datagram
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import IMEI, SAMPLES, Sample, of_kind, sample

from teltonika.codecs import MAX_PACKET_SIZE
from teltonika.codecs.udp import ANSWER_SIZE, MIN_DATAGRAM_SIZE
from teltonika.server.authority import Admission
from teltonika.server.background import background
from teltonika.server.command_dispatcher import CommandDispatcher
from teltonika.server.command_ledger import CommandLedger
from teltonika.server.config import ServerSettings
from teltonika.server.counters import Counters
from teltonika.server.datagram_intake import WAITING_BYTES, Address, DatagramIntake
from teltonika.server.deployment import deployment_of
from teltonika.server.durability import SYNCED_ALWAYS
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.peer_log import PeerLog
from teltonika.server.publishers import Publishers
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import SCRIPTS
from teltonika.server.trace import Tracer

STREAM = "telemetry:teltonika"
NOWHERE = "unix:///nowhere"
HERE, THERE = ("192.0.2.1", 40_001), ("192.0.2.1", 40_002)
OTHER = "356307042441021"


class Answers:
    """A socket that keeps what it is to send, and looks at the stream when it is."""

    def __init__(self) -> None:
        self.sent: asyncio.Queue[tuple[bytes, Address]] = asyncio.Queue()
        self.when_answered: Callable[[], None] = lambda: None

    def answer(self, answer: bytes, address: Address) -> None:
        self.when_answered()
        self.sent.put_nowait((answer, address))


class Parts:
    """An intake and all that it needs."""

    def __init__(self, redis_url: str = NOWHERE, **more: Any) -> None:
        given_settings = ServerSettings(**more)
        self.counters = Counters()
        self.publishers = Publishers(
            deployment_of(redis_url),
            given_settings.keys,
            0,
            given_settings.max_unconfirmed_total_bytes,
            SYNCED_ALWAYS,
            self.counters,
            full=lambda _: None,
            drained=lambda _: None,
        )
        self.writer = RedisWriter(deployment_of(redis_url), SCRIPTS)
        keys = given_settings.keys
        ledger = CommandLedger(self.writer, keys, "run", remember_s=1, stream_maxlen=0)
        self.socket = Answers()
        self.intake = DatagramIntake(
            given_settings,
            self.publishers,
            Admission(None, strict=False, require_luhn=given_settings.require_luhn),
            CommandDispatcher(
                {}, ledger, given_settings, "here", PeerLog(1, self.counters), self.counters
            ),
            PeerLog(1, self.counters),
            self.counters,
            Tracer(deployment_of(redis_url), keys, "here", MAX_PACKET_SIZE, lambda: None),
        )

    def send(self, data: bytes, address: Address = HERE) -> None:
        self.intake.receive(data, self.socket, address)

    async def answered(self) -> tuple[bytes, Address]:
        return await self.socket.sent.get()


@contextlib.asynccontextmanager
async def running(valkey: EmbeddedValkey) -> AsyncIterator[Parts]:
    parts = Parts(valkey.url)
    async with background(parts.publishers.run(), parts.writer.run()):
        yield parts


def altitudes(client: redis.Redis) -> list[int]:
    return [int(fields["ts"][-4:-1]) for _, fields in client.xrange(STREAM)]


@pytest.mark.parametrize("documented", of_kind("avl", transport="udp"), ids=str)
async def test_a_documented_datagram_is_stored_and_gets_its_documented_answer(
    documented: Sample, valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with running(valkey) as parts:
        parts.socket.when_answered = lambda: stored.append(client.xlen(STREAM))
        stored: list[int] = []
        parts.send(documented.data)
        expected = answer(len(documented.records), 0xCAFE, documented.data[5])
        assert await parts.answered() == (expected, HERE)
        assert stored == [len(documented.records)]
        await parts.intake.settled()


async def test_a_datagram_sent_again_is_answered_again_and_stored_once(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with running(valkey) as parts:
        for _ in range(3):
            parts.send(datagram(datagrams.records(1, 2)))
            assert await parts.answered() == (answer(2), HERE)
        parts.send(datagram(datagrams.records(2, 3)))  # the same ids
        assert await parts.answered() == (answer(2), HERE)
    assert altitudes(client) == [1, 2, 3]
    assert (parts.counters.records_stored, parts.counters.records_known) == (3, 5)


async def test_one_sent_again_while_it_waits_is_answered_once_and_where_it_came_from_last(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with running(valkey) as parts:
        for address in (HERE, HERE, THERE):
            parts.send(datagram(datagrams.records(1)), address)
        parts.send(datagram(datagrams.records(2)), HERE)  # other content, and behind it
        assert await parts.answered() == (answer(1), THERE)
        assert await parts.answered() == (answer(1), HERE)
        assert parts.socket.sent.empty()
    assert altitudes(client) == [1, 2]
    assert (parts.counters.datagrams, parts.counters.datagrams_repeated) == (2, 2)


async def test_a_device_s_datagrams_are_stored_and_answered_in_their_order(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with running(valkey) as parts:
        for number in range(100):
            parts.send(datagram(datagrams.records(number), packet_id=number))
            parts.send(datagram(datagrams.records(number), packet_id=number, imei=OTHER), THERE)
        answers = [await parts.answered() for _ in range(200)]
        await parts.intake.settled()
    for address in (HERE, THERE):
        expected = [answer(1, packet_id=number) for number in range(100)]
        assert [one for one, where in answers if where == address] == expected
    assert sorted(altitudes(client)) == sorted([*range(100), *range(100)])
    entries = [fields for _, fields in client.xrange(STREAM)]
    assert [int(e["ts"][-4:-1]) for e in entries if e["device_id"] == IMEI] == list(range(100))


async def test_a_datagram_without_records_is_answered_with_0(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with running(valkey) as parts:
        parts.send(datagram(b"\x08\x00\x00"))
        assert await parts.answered() == (answer(0), HERE)
    assert client.xlen(STREAM) == 0


async def test_a_text_is_a_message_and_gets_no_answer(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    async with running(valkey) as parts:
        text = sample("codec13-corrected").data[8:-4]
        parts.send(datagram(text))
        await parts.writer.idle()
        ((_, entry),) = client.xrange(f"{STREAM}:messages")
        parts.send(datagram(datagrams.records(1), packet_id=9))
        assert await parts.answered() == (answer(1, packet_id=9), HERE)
        await parts.intake.settled()
    assert (entry["device_id"], entry["codec"], entry["text"]) == (IMEI, "13", "getinfo")
    assert (parts.counters.unsolicited_messages, parts.counters.datagrams) == (1, 2)


async def test_an_answer_is_never_larger_than_what_it_answers() -> None:
    """Seven bytes; the shortest datagram that can be answered, without a record, has 26."""
    assert len(datagram(b"\x08\x00\x00")) == MIN_DATAGRAM_SIZE == 26
    assert len(answer(255)) == ANSWER_SIZE == 7
    parts = Parts()
    for size in range(MIN_DATAGRAM_SIZE):
        content = bytes(size)
        parts.send(content)
        parts.send(datagram(b"\x08\x00\x00")[:size])
    assert parts.counters.datagrams_broken == 2 * MIN_DATAGRAM_SIZE
    assert parts.publishers.unconfirmed_packets == 0


@pytest.mark.parametrize(
    "broken",
    [
        b"",
        b"garbage that is longer than the shortest datagram",
        sample("codec16-udp-published").data,
        sample("codec8-udp").data[:-1],
        sample("codec8-udp").data + b"\x00",
        sample("codec8-1").data,
        datagram(b"\x99\x01\x00\x01"),
        datagram(datagrams.records(1)[:-1] + b"\x02"),
        datagram(datagrams.records(1)).replace(IMEI.encode(), b"35630704244101x"),
        answer(1),
    ],
)
async def test_what_is_no_whole_datagram_is_counted_and_nothing_is_kept_of_it(
    broken: bytes,
) -> None:
    parts = Parts()
    parts.send(broken)
    assert parts.counters.datagrams_broken == 1
    assert parts.counters.datagrams == 0
    assert parts.publishers.unconfirmed_packets == 0
    await parts.intake.settled()


async def test_one_over_the_size_limit_is_counted_as_too_large() -> None:
    data = datagram(datagrams.records(*range(3)))
    parts = Parts(max_packet_size=len(data) - 1)
    parts.send(data)
    assert (parts.counters.datagrams_broken, parts.counters.packets_too_large) == (1, 1)
    parts.send(datagram(datagrams.records(1)))
    assert parts.counters.datagrams == 1


async def test_a_wrong_check_digit_is_refused_where_that_is_asked() -> None:
    parts = Parts(require_luhn=True)
    parts.send(datagram(datagrams.records(1), imei="356307042441014"))
    assert (parts.counters.datagrams_refused, parts.publishers.unconfirmed_packets) == (1, 0)
    parts.send(datagram(datagrams.records(1)))
    assert parts.publishers.unconfirmed_packets == 1


async def test_past_the_bound_datagrams_of_whomever_are_dropped() -> None:
    """Nothing is confirmed here."""
    bound = 200_000
    parts = Parts(max_unconfirmed_total_bytes=bound)
    sent = 0
    while not parts.publishers.are_full:
        sent += 1
        parts.send(datagram(datagrams.records(1), imei=f"{sent:015d}"))
    assert parts.publishers.unconfirmed_packets == sent < bound / WAITING_BYTES
    for number in range(1_000):
        parts.send(datagram(datagrams.records(2), imei=f"{number:015d}"))
    assert parts.publishers.unconfirmed_packets == sent
    assert parts.counters.datagrams_dropped == 1_000


async def test_one_device_has_a_bound_of_its_own() -> None:
    parts = Parts(max_unconfirmed_session_bytes=3 * WAITING_BYTES + 200)
    parts.send(datagram(datagrams.records(*range(255))))  # one is always taken
    parts.send(datagram(datagrams.records(1)))
    assert parts.counters.datagrams_dropped == 1
    for number in range(10):
        parts.send(datagram(datagrams.records(number), imei=OTHER))
    assert parts.counters.datagrams_dropped == 8
    assert parts.counters.datagrams == 4


async def test_room_is_free_again_once_all_is_confirmed(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    parts = Parts(valkey.url, max_unconfirmed_total_bytes=50_000)
    for number in range(200):
        parts.send(datagram(datagrams.records(number), packet_id=number))
    assert parts.publishers.are_full
    async with background(parts.publishers.run(), parts.writer.run()):
        await parts.intake.settled()
        assert not parts.publishers.are_full
        parts.publishers.of(IMEI).hold(50_000)
        assert not parts.publishers.are_full  # not a byte is still counted
        parts.publishers.of(IMEI).let_go(50_000)
    assert altitudes(client) == list(range(parts.counters.datagrams))


async def test_who_stops_takes_no_more_and_answers_what_waits(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    parts = Parts(valkey.url)
    parts.send(datagram(datagrams.records(1)))
    parts.intake.stop()
    parts.send(datagram(datagrams.records(2)))
    async with background(parts.publishers.run(), parts.writer.run()):
        await parts.intake.settled()
        assert await parts.answered() == (answer(1), HERE)
    assert altitudes(client) == [1]


async def test_what_a_device_does_not_send_again_is_given_up_while_redis_is_away(
    valkey: EmbeddedValkey, client: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have gone to another instance with it."""
    parts = Parts(valkey.url)
    now = asyncio.get_running_loop().time()
    monkeypatch.setattr(parts.intake, "_now", lambda: now)
    for number in (1, 2):
        parts.send(datagram(datagrams.records(number)))
        parts.send(datagram(datagrams.records(number), imei=OTHER))
    now += 9
    parts.send(datagram(datagrams.records(2), imei=OTHER))  # again
    now += 2
    parts.intake.give_up()
    assert parts.counters.datagrams_dropped == 2
    async with background(parts.publishers.run(), parts.writer.run()):
        await parts.intake.settled()
        assert parts.publishers.unconfirmed_packets == 0
        parts.send(datagram(datagrams.records(3)))  # it is taken again
        await parts.intake.settled()
    assert [fields["device_id"] for _, fields in client.xrange(STREAM)] == [OTHER, OTHER, IMEI]
    assert altitudes(client) == [1, 2, 3]


async def test_what_is_abandoned_is_neither_written_nor_answered(
    valkey: EmbeddedValkey, client: redis.Redis
) -> None:
    parts = Parts(valkey.url)
    for number in (1, 2):
        parts.send(datagram(datagrams.records(number)))
    parts.intake.give_up(all_of_them=True)
    await parts.intake.settled()
    parts.send(datagram(datagrams.records(3), imei=OTHER))
    async with background(parts.publishers.run(), parts.writer.run()):
        assert await parts.answered() == (answer(1), HERE)
    assert altitudes(client) == [3]
    assert parts.publishers.unconfirmed_packets == 0


async def test_any_number_of_senders_may_log_as_much_as_one_address() -> None:
    parts = Parts()  # one line a minute
    for number in range(100):
        parts.send(b"garbage", (f"192.0.2.{number}", 5027))
    assert parts.counters.log_lines_left_out == 99


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([one.data for one in SAMPLES]),
    st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=4),
    st.integers(0, 200),
)
def test_whatever_comes_nothing_is_raised(
    data: bytes, changes: list[tuple[int, int]], length: int
) -> None:
    changed = bytearray(data)
    for at, byte in changes:
        changed[at % len(changed)] = byte

    async def send() -> None:
        parts = Parts()
        parts.send(bytes(changed[: length or None]))
        parts.send(datagram(bytes(changed)))

    asyncio.run(send())
