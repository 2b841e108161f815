"""A session without a socket: turns, limits and pauses, on a transport that a test can look at."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from live_objects import MOST, growth_of

from teltonika.codecs import (
    AVL_CODECS,
    AvlPacket,
    AvlRecord,
    CommandMessage,
    IoElement,
    IoElements,
    MessageType,
    encode_imei,
    encode_message,
    encode_packet,
)
from teltonika.codecs.framing import encode_frame
from teltonika.server.addresses import Peer
from teltonika.server.allowance import Allowance
from teltonika.server.authority import Admission
from teltonika.server.config import ServerSettings
from teltonika.server.counters import Counters
from teltonika.server.session import FLOOD_PAUSE_S, TURN_BYTES, Pause, Session
from teltonika.server.turns import TURN_EVENTS

IMEI = "356307042441013"
CODEC = AVL_CODECS.by_name("8")
PACKET = encode_packet(CODEC, [AvlRecord(1, 0, 0, 0, 0, 0, 0, 0)])
EMPTY = encode_packet(CODEC, [])
LARGE_IO = IoElements.of([IoElement.variable(1, bytes(20_000))])
UNFINISHED = encode_packet(CODEC, [AvlRecord(1, 0, 0, 0, 0, 0, 0, 0)] * 255)[:9_000]
WRONG_CRC = PACKET[:-1] + bytes((PACKET[-1] ^ 1,))
SKIPPED = encode_frame(b"\x0c\x01\x77\x00\x00\x00\x01x\x01")  # a type that there is not
EMPTY_TEXT = encode_message(CommandMessage(0x0C, MessageType.RESPONSE, b""))


class Transport(asyncio.Transport):
    """Keeps what is written, and whether it is read."""

    def __init__(self) -> None:
        super().__init__()
        self.is_read = True
        self.written = b""
        self.ended = ""

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None: ...

    def write(self, data: bytes | bytearray | memoryview) -> None:
        self.written += bytes(data)

    def close(self) -> None:
        self.ended = "closed"

    def abort(self) -> None:
        self.ended = "aborted"


class Publisher:
    """In the publisher's place: keeps packets until the test confirms them."""

    is_full = False
    largest_share = 1 << 30

    def __init__(self) -> None:
        self.packets: list[AvlPacket] = []
        self.answers_at_once = True

    def open(self, session: Session, imei: str, read_at: float) -> None:
        if self.answers_at_once:
            session.current()

    def submit(self, session: Session, imei: str, packet: AvlPacket, read_at: float) -> int:
        self.packets.append(packet)
        return 1_000


class Owner:
    """In the listener's place. `now` is set by the test, and turns are taken when it says so."""

    def __init__(self, **settings: Any) -> None:
        self.settings = ServerSettings(**settings)
        self.counters = Counters()
        self.seconds = 0.0
        self.publisher = Publisher()
        self.admission = Admission(None, strict=False, require_luhn=False)
        self.waiting: list[Session] = []
        self.lines: list[str] = []
        self.unfinished_bytes = 0
        self.identified: list[Session] = []
        self.texts: list[bytes] = []
        self.publishers: Any = self
        self.device_bytes: Any = self
        self.turns: Any = self
        self.most_events = TURN_EVENTS
        self.tracer: Any = self
        self.peer_log: Any = self
        self.commands: Any = self
        self.imeis: frozenset[str] = frozenset()
        self.allowance = Allowance(1_000, 10_000)

    def now(self) -> float:
        return self.seconds

    def of(self, imei: str) -> Any:
        """The publisher of a device, and the bytes that it may send."""
        return self._parts.pop()

    def say(self, level: int, address: str, event: str, **fields: object) -> None:
        self.lines.append(event)

    def received(self, session: Session, message: CommandMessage) -> None:
        self.texts.append(message.content)

    def wait(self, session: Session) -> None:
        assert session not in self.waiting
        self.waiting.append(session)

    def spend(self, events: int) -> None: ...

    def take_turn(self) -> bool:
        """Of the one that waits longest; False if nobody waits."""
        if not self.waiting:
            return False
        self.waiting.pop(0).take_turn()
        return True

    def session_opened(self, session: Session) -> None:
        self._parts: list[Any] = [self.publisher, self.allowance]

    def session_identified(self, session: Session) -> None:
        self.identified.append(session)

    def session_unusable(self, session: Session) -> None: ...

    def session_closed(self, session: Session) -> None: ...


Timers = list[tuple[float, Callable[[], None]]]


@pytest.fixture
async def timers(monkeypatch: pytest.MonkeyPatch) -> Timers:
    """What the event loop was asked to do later: delay and what."""
    asked: Timers = []

    def call_later(delay: float, what: Callable[[], None]) -> asyncio.TimerHandle:
        asked.append((delay, what))
        return cast(asyncio.TimerHandle, Handle())

    monkeypatch.setattr(asyncio.get_running_loop(), "call_later", call_later)
    return asked


class Handle:
    def cancel(self) -> None: ...


def connected(owner: Owner, imei: str | None = IMEI) -> tuple[Session, Transport]:
    session, transport = Session(cast(Any, owner), Peer("192.0.2.1", 40_001)), Transport()
    session.connection_made(transport)
    if imei is not None:
        session.data_received(encode_imei(imei))
    return session, transport


async def test_silence_counts_from_when_the_server_reads_again() -> None:
    owner = Owner()
    session, _ = connected(owner, imei=None)
    session.pause(Pause.ALL_BYTES)
    assert session.waits_for_us
    owner.seconds = 3_899.0
    session.resume(Pause.ALL_BYTES)
    assert not session.waits_for_us
    assert session.last_activity == 3_899.0


async def test_what_is_more_than_a_turn_waits_and_is_not_read_on_meanwhile() -> None:
    owner = Owner()
    session, transport = connected(owner)
    session.data_received(PACKET * 200)
    taken = TURN_EVENTS
    assert len(owner.publisher.packets) == taken
    while owner.take_turn():
        assert not transport.is_read or taken >= 200 - TURN_EVENTS
        taken = min(taken + TURN_EVENTS, 200)
        assert len(owner.publisher.packets) == taken
    assert taken == 200
    assert transport.is_read


async def test_a_frame_that_is_larger_than_a_turn_comes_in_several() -> None:
    owner = Owner()
    owner.allowance = Allowance(10**9, 10**9)
    session, transport = connected(owner)
    session.data_received(encode_packet(CODEC, [AvlRecord(1, 0, 0, 0, 0, 0, 0, 0)] * 255) * 5)
    turns = 0
    while owner.take_turn():
        turns += 1
    assert turns == 3  # of 16 KiB each: the packets have 38,575 bytes
    assert len(owner.publisher.packets) == 5
    assert transport.is_read


async def test_a_large_packet_waits_for_its_turn_whoever_else_finishes_one() -> None:
    owner = Owner()
    owner.allowance = Allowance(10**9, 10**9)
    record = AvlRecord(1, 0, 0, 0, 0, 0, 0, 0, io=LARGE_IO)
    large = encode_packet(AVL_CODECS.by_name("8E"), [record])
    assert len(large) > TURN_BYTES
    session, _ = connected(owner)
    session.data_received(large[:-1])
    while owner.take_turn():
        pass
    session.data_received(large[-1:])
    assert not owner.publisher.packets
    assert owner.take_turn()
    assert len(owner.publisher.packets) == 1


async def test_where_many_have_much_each_has_one_frame_first() -> None:
    owner = Owner()
    owner.most_events = 1
    session, _ = connected(owner)
    session.data_received(PACKET * 3)
    assert len(owner.publisher.packets) == 1
    assert owner.take_turn()
    assert len(owner.publisher.packets) == 3


async def test_an_error_of_ours_in_a_later_turn_ends_the_connection() -> None:
    owner = Owner()
    session, transport = connected(owner)
    session.data_received(PACKET * (TURN_EVENTS + 1))
    owner.publisher.submit = None  # type: ignore[method-assign, assignment]
    with pytest.raises(TypeError):
        owner.take_turn()
    assert transport.ended == "aborted"


async def test_a_stop_does_not_wait_for_what_may_never_be_worked_off() -> None:
    owner = Owner()
    session, transport = connected(owner)
    session.pause(Pause.ALL_BYTES)
    session.data_received(PACKET)
    session.end("server stops")
    assert transport.ended == "closed"


async def test_a_connection_that_floods_before_redis_knows_of_it_is_not_let_in(
    timers: Timers,
) -> None:
    owner = Owner(max_empty_frames=60)
    owner.publisher.answers_at_once = False
    session, transport = connected(owner, imei=None)
    session.data_received(encode_imei(IMEI) + b"\xff" * 100)
    session.current()
    assert not transport.written
    assert not owner.identified


async def test_what_comes_while_the_rest_waits_is_worked_off_after_it() -> None:
    owner = Owner()
    session, _ = connected(owner)
    session.data_received(PACKET * 200)
    session.data_received(encode_packet(CODEC, [AvlRecord(7, 0, 0, 0, 0, 0, 0, 0)]))
    while owner.take_turn():
        pass
    assert [p.records[0].timestamp_ms for p in owner.publisher.packets] == [1] * 200 + [7]


async def test_the_end_of_the_connection_comes_after_what_waits() -> None:
    owner = Owner()
    session, transport = connected(owner)
    session.data_received(PACKET * 100 + PACKET[:20])
    assert session.eof_received()
    assert owner.counters.violations == 0
    while owner.take_turn():
        pass
    assert len(owner.publisher.packets) == 100
    assert owner.counters.violations == 1  # half a packet
    for _ in range(100):
        session.confirmed(1, 1_000, 0.0)
    assert transport.ended == "closed"


@pytest.mark.parametrize("reason", [Pause.OWN_BYTES, Pause.ALL_BYTES, Pause.PEER_READS_NOT])
async def test_what_waits_goes_on_when_its_pause_is_over_and_not_before(reason: Pause) -> None:
    owner = Owner()
    session, transport = connected(owner)
    session.pause(reason)
    session.data_received(PACKET)
    assert not owner.publisher.packets
    assert not owner.take_turn()
    session.resume(reason)
    assert owner.take_turn()
    assert len(owner.publisher.packets) == 1
    assert transport.is_read


async def test_a_device_with_too_much_unconfirmed_is_worked_off_no_further() -> None:
    owner = Owner(max_unconfirmed_session_bytes=4_096)
    session, _ = connected(owner)
    session.data_received(PACKET * 200)
    while owner.take_turn():
        pass
    unconfirmed = len(owner.publisher.packets)
    assert unconfirmed < 100
    for _ in range(unconfirmed):
        session.confirmed(1, 1_000, 0.0)
    assert owner.take_turn()
    assert len(owner.publisher.packets) > unconfirmed


async def test_nothing_is_worked_off_of_what_comes_after_a_violation() -> None:
    owner = Owner()
    session, transport = connected(owner)
    session.data_received(b"GET / HTTP/1.1\r\n" * 10_000)
    assert owner.take_turn()
    assert not owner.take_turn()
    assert owner.lines.count("protocol_violation") == 1
    assert transport.ended == "closed"


@pytest.mark.parametrize(
    "flood",
    [b"\xff", WRONG_CRC, SKIPPED, EMPTY, EMPTY_TEXT],
    ids=["pings", "wrong CRCs", "skipped frames", "packets of no records", "empty texts"],
)
async def test_a_flood_of_frames_that_bring_nothing_closes_and_is_counted_and_logged_once(
    flood: bytes, timers: Timers
) -> None:
    owner = Owner(max_empty_frames=60)
    session, transport = connected(owner)
    for _ in range(60):
        session.data_received(flood)
    assert not transport.ended
    owner.seconds = 30.0
    for _ in range(30):
        session.data_received(flood)
    assert transport.is_read
    session.data_received(flood * 10)
    assert not transport.is_read
    ((delay, close),) = timers
    assert delay == FLOOD_PAUSE_S
    session.data_received(PACKET)
    while owner.take_turn():
        pass
    assert len(owner.publisher.packets) == 0
    close()
    assert transport.ended == "aborted"
    assert owner.counters.empty_frame_floods == 1
    assert owner.lines.count("too_many_empty_frames") == 1
    assert "device_disconnected" not in owner.lines


async def test_a_device_that_empties_its_flash_is_no_flood() -> None:
    owner = Owner(max_empty_frames=60)
    session, transport = connected(owner)
    for _ in range(10_000):
        session.data_received(PACKET)
        session.confirmed(1, 1_000, 0.0)
    assert not transport.ended
    assert len(owner.publisher.packets) == 10_000


async def test_what_came_before_a_flood_is_confirmed_and_a_stop_does_not_wait_for_it() -> None:
    owner = Owner(max_empty_frames=60)
    session, transport = connected(owner)
    session.data_received(PACKET + b"\xff" * 100)
    session.end("server stops")
    assert not transport.ended
    session.confirmed(1, 1_000, 0.0)
    assert transport.written.endswith(b"\0\0\0\1")
    assert transport.ended == "closed"


async def test_a_packet_of_no_records_is_acknowledged_in_its_turn() -> None:
    owner = Owner()
    session, transport = connected(owner)
    session.data_received(EMPTY)
    assert transport.written == b"\1" + bytes(4)
    assert not owner.publisher.packets
    session.data_received(PACKET + EMPTY)
    assert transport.written == b"\1" + bytes(4)
    session.confirmed(1, 1_000, 0.0)
    session.confirmed(0, 1_000, 0.0)
    assert transport.written == b"\1" + bytes(4) + b"\0\0\0\1" + bytes(4)


async def test_a_device_that_sends_too_fast_is_read_more_slowly_and_loses_nothing(
    timers: Timers,
) -> None:
    owner = Owner()
    session, transport = connected(owner)
    packets = 5_000 // len(PACKET)
    for _ in range(3):
        session.data_received(PACKET * packets)
        while owner.take_turn():
            pass
        for _ in range(packets):
            session.confirmed(1, 1_000, 0.0)
    ((delay, speed_up),) = timers
    assert 4.0 < delay < 5.1
    assert not transport.is_read
    assert session.waits_for_us
    assert len(owner.publisher.packets) == 3 * packets
    owner.seconds = delay
    speed_up()
    assert transport.is_read
    assert owner.counters.device_rate_pauses == 1
    assert owner.lines.count("device_slowed_down") == 1


async def test_a_device_that_does_not_read_its_acks_is_not_read() -> None:
    owner = Owner()
    session, transport = connected(owner)
    session.pause_writing()
    assert not transport.is_read
    session.resume_writing()
    assert transport.is_read


async def test_large_packets_that_are_never_finished_have_a_bound_together() -> None:
    owner = Owner(max_unconfirmed_total_bytes=65_536)
    owner.allowance = Allowance(10**9, 10**9)
    half = encode_packet(CODEC, [AvlRecord(1, 0, 0, 0, 0, 0, 0, 0)] * 255)[:7_000]
    ended = []
    for _ in range(12):
        session, transport = connected(owner)
        session.data_received(half[:1_000])  # a small packet is none of them
        session.data_received(half[1_000:])
        ended.append(transport.ended)
    assert ended == [""] * 9 + ["aborted"] * 3
    assert owner.counters.unfinished_closes == 3
    assert owner.lines.count("too_much_unfinished") == 3


async def test_a_large_packet_that_is_whole_at_last_counts_no_more() -> None:
    owner = Owner()
    owner.allowance = Allowance(10**9, 10**9)
    session, _ = connected(owner)
    packet = encode_packet(CODEC, [AvlRecord(1, 0, 0, 0, 0, 0, 0, 0)] * 255)
    session.data_received(packet[:5_000])
    assert owner.unfinished_bytes == 5_000
    session.data_received(packet[5_000:])
    assert owner.unfinished_bytes == 0
    session.data_received(packet[:5_000])
    session.connection_lost(None)
    assert owner.unfinished_bytes == 0


def _superseded(owner: Owner) -> None:
    session, _ = connected(owner)
    session.data_received(PACKET)
    session.superseded()
    session.connection_lost(None)


def _flooding(owner: Owner) -> None:
    session, _ = connected(owner)
    session.data_received(PACKET + b"\xff" * 2_000)
    session.abort("too many empty frames")
    session.connection_lost(None)


def _too_fast(owner: Owner) -> None:
    session, _ = connected(owner)
    owner.allowance = Allowance(1_000, 10)
    session.data_received(PACKET * 2)
    session.connection_lost(ConnectionResetError("the peer is gone"))


def _unfinished(owner: Owner) -> None:
    session, _ = connected(owner)
    session.data_received(UNFINISHED)
    session.connection_lost(None)


def _cut_off_in_its_turn(owner: Owner) -> None:
    session, _ = connected(owner)
    session.data_received(PACKET * 50)
    session.connection_lost(None)
    owner.take_turn()


@pytest.mark.parametrize(
    "do", [_superseded, _flooding, _too_fast, _unfinished, _cut_off_in_its_turn]
)
async def test_connections_that_end_otherwise_than_they_should_leave_nothing(
    do: Callable[[Owner], None], timers: Timers
) -> None:
    owner = Owner()

    def once() -> None:
        do(owner)
        timers.clear()
        owner.publisher.packets.clear()
        owner.lines.clear()
        owner.identified.clear()

    assert growth_of(once) <= MOST
    assert owner.unfinished_bytes == 0
