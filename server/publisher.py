"""Packets of all sessions and datagrams, in batches, to Redis; and each one's confirmation back.

A batch is whatever came while the ones before it were written: the publisher never waits to fill
one. A few are on their way at once, so that decoding and Redis work at the same time. Replies come
in the order of the commands, so a device's packets are confirmed in their order.

Nothing is confirmed that Redis has not. When the connection breaks, what was on its way is written
again on the next one: its fate is unknown, and Redis knows by its number what it has. A packet is
stored behind the one before it on its connection, or not at all. What belongs to a session
that has ended is not written any more: its device was never told of it, keeps it, and sends it
again.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from itertools import chain, count
from time import monotonic

import structlog
from redis.exceptions import RedisError, ResponseError

from teltonika.codecs import AvlPacket
from teltonika.server.counters import Counters
from teltonika.server.deployment import Deployment
from teltonika.server.durability import DurabilityNotReachedError, Promise
from teltonika.server.keys import ShardKeys
from teltonika.server.reconnecting import Reconnecting
from teltonika.server.redis_link import REPLY_TIMEOUT_S, RedisLink, pack_command
from teltonika.server.scripts import OPEN_CONNECTION, STORE_PACKET
from teltonika.server.streams import packet_arguments
from teltonika.server.submissions import Submission, SubmissionQueue, Submitter

log = structlog.get_logger()

BATCHES_IN_FLIGHT = 4
CROWDED = 1_000
"""Where so many submissions wait or more, those of ended submitters are looked for."""
EMPTY_ARGUMENT = b"$0\r\n\r\n"
"""As packed: it keeps a place at the end of a command, for what is known only when it is sent."""

SUPERSEDED, NOT_IN_ORDER = -1, -2
"""What `STORE_PACKET` answers but a number of records."""


class NotInOrderError(RedisError):
    """Redis does not have the packet before one: they are written again, in order."""


class Publisher:
    """Writes packets to one telemetry stream. `run` does the work; `submit` only queues.

    ``full`` and ``drained`` are called when the unconfirmed bytes of all its sessions together pass
    ``max_unconfirmed_bytes``, and when they have fallen to a quarter of it; and when it is held
    back, and goes on.
    """

    def __init__(
        self,
        redis: Deployment,
        keys: ShardKeys,
        stream_maxlen: int,
        max_unconfirmed_bytes: int,
        promise: Promise,
        counters: Counters,
        *,
        full: "Callable[[Publisher], None]",
        drained: "Callable[[Publisher], None]",
        pending: SubmissionQueue | None = None,
    ) -> None:
        self._connections = Reconnecting(
            redis, keys.telemetry, "redis_unavailable", lambda: {"stream": keys.telemetry}
        )
        self._keys = (keys.telemetry, keys.dedupe)
        self._maxlen = stream_maxlen
        self._max_unconfirmed_bytes = max_unconfirmed_bytes
        self._promise = promise
        self._counters = counters
        self._full = full
        self._drained = drained

        self._pending = SubmissionQueue() if pending is None else pending
        self._crowded = CROWDED
        self._in_flight: deque[deque[Submission]] = deque()
        self._of_much: deque[Submission] | None = None  # the one with any of those with much
        self._sent_at: deque[float] = deque()  # of each of them, finer than uvloop's clock
        self._stored: list[tuple[Submission, int]] = []  # and not as durable as they must be yet
        self._refused: list[Submission] = []
        self._refusal: RedisError | None = None  # why, of the first of them
        self._numbers = count(1)
        self._newest: dict[Submitter, Submission] = {}  # of those that have anything unconfirmed
        self._unconfirmed_bytes = 0
        self._is_full = False
        self._held_back: set[str] = set()  # why nothing is written
        self._work = asyncio.Event()  # something is pending, and a batch more may be in flight
        self._sent = asyncio.Event()  # something is in flight

    @property
    def unconfirmed_packets(self) -> int:
        """Packets that were submitted and are not confirmed."""
        stored = (submission for submission, _ in self._stored)
        unconfirmed = chain(stored, self._pending, self._refused, *self._in_flight)
        return sum(submission.record_count is not None for submission in unconfirmed)

    @property
    def is_full(self) -> bool:
        return self._is_full

    @property
    def unconfirmed_bytes(self) -> int:
        """Memory that what is unconfirmed takes, here and elsewhere."""
        return self._unconfirmed_bytes

    @property
    def waiting(self) -> int:
        """What was submitted and is not on its way."""
        return len(self._pending)

    @property
    def in_flight(self) -> int:
        """What is on its way, or not as durable yet as it must be."""
        return len(self._stored) + len(self._refused) + sum(map(len, self._in_flight))

    @property
    def oldest_read_at(self) -> float | None:
        """When that was read which waits longest for its confirmation; None if nothing does."""
        stored = (submission for submission, _ in self._stored)
        written = chain(stored, self._refused, *self._in_flight)
        times = [submission.read_at for submission in written]
        if (waiting := self._pending.oldest_read_at) is not None:
            times.append(waiting)
        return min(times, default=None)

    def open(self, submitter: Submitter, imei: str, read_at: float) -> None:
        """A device has said its IMEI: ``current`` is called once its packets come from there."""
        arguments = (imei, submitter.connection)
        packed = pack_command("EVALSHA", OPEN_CONNECTION.sha, 1, self._keys[1], *arguments)
        self._queue(submitter, packed, None, read_at)

    def submit(self, submitter: Submitter, imei: str, packet: AvlPacket, read_at: float) -> int:
        """Queue a packet; ``confirmed`` is called once it is safe.

        Where the submitter has a connection, it must be open. ``read_at``: when the packet was
        read, on the loop's clock. Returns how many bytes of memory the packet takes until it is
        confirmed, roughly.
        """
        arguments, repeated = packet_arguments(imei, packet, self._maxlen, submitter.connection)
        if repeated:
            self._counters.repeated_io_ids += repeated
        number = next(self._numbers)
        arguments = (*arguments, number, b"")
        packed = pack_command("EVALSHA", STORE_PACKET.sha, 2, *self._keys, *arguments)
        packed = packed.removesuffix(EMPTY_ARGUMENT)
        return self._queue(submitter, packed, len(packet.records), read_at, number)

    @property
    def largest_share(self) -> int:
        """How much of what is unconfirmed may be one device's: an eighth of what is still free, so
        that many that send much leave room for those that do not."""
        return (self._max_unconfirmed_bytes - self._unconfirmed_bytes) // 8

    def hold(self, size: int) -> None:
        """So many bytes more are unconfirmed, here or elsewhere."""
        self._unconfirmed_bytes += size
        if self._unconfirmed_bytes > self._max_unconfirmed_bytes:
            self._look_whether_full()

    def let_go(self, size: int) -> None:
        """So many are not any more."""
        self._unconfirmed_bytes -= size
        if self._is_full:
            self._look_whether_full()

    def _look_whether_full(self) -> None:
        if self._is_full:
            is_little = self._unconfirmed_bytes <= self._max_unconfirmed_bytes // 4
            if is_little and not self._held_back:
                self._is_full = False
                self._drained(self)
        elif self._held_back or self._unconfirmed_bytes > self._max_unconfirmed_bytes:
            self._is_full = True
            self._full(self)

    def hold_back(self, reason: str) -> None:
        """Write nothing more until `go_on`; what is on its way is confirmed, or written again.

        It is full meanwhile: nothing more is read of its devices.
        """
        self._held_back.add(reason)
        self._wake_writer()
        self._look_whether_full()

    def go_on(self, reason: str) -> None:
        """This reason is no more; there may be others."""
        self._held_back.discard(reason)
        self._wake_writer()
        self._look_whether_full()

    def _queue(
        self,
        submitter: Submitter,
        packed: bytes,
        record_count: int | None,
        read_at: float,
        number: int = 0,
    ) -> int:
        before = self._newest.get(submitter)
        submission = Submission(submitter, packed, record_count, read_at, number, before)
        self._newest[submitter] = submission
        self._pending.add(submission, before)
        self.hold(submission.size)
        if len(self._pending) >= self._crowded:
            self._drop_ended()
        self._wake_writer()
        return submission.size

    def _drop_ended(self) -> None:
        """While nothing is written, what waits of sessions that have ended would only be more.

        The next time is when twice as much waits: that costs little for each submission.
        """
        for submission in self._pending.drop_ended():
            self._release(submission)
        self._crowded = max(CROWDED, 2 * len(self._pending))

    async def run(self) -> None:
        """Write until cancelled, on one connection after another."""
        await self._connections.run(self._work_on, self._failed)

    async def _work_on(self, link: RedisLink) -> None:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            for script in (STORE_PACKET, OPEN_CONNECTION):
                await link.execute("SCRIPT", "LOAD", script.source)
        failures = self._connections.failures
        if failures:
            log.info("redis_connected", failures=failures, waiting=self.unconfirmed_packets)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._write_batches(link))
            group.create_task(self._read_replies(link))

    def _failed(self) -> None:
        self._counters.redis_failures += 1
        self._take_back()

    async def _write_batches(self, link: RedisLink) -> None:
        while True:
            await self._work.wait()
            batch = self._take_batch()
            self._in_flight.append(batch)
            self._sent_at.append(monotonic())
            self._sent.set()
            self._wake_writer()
            commands = [submission.written() for submission in batch]
            if batch:
                commands.append(self._promise.command)
                self._counters.batch_packets.observe(len(batch))
            await link.write(commands)

    async def _read_replies(self, link: RedisLink) -> None:
        while True:
            await self._sent.wait()
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                await self._confirm_batch(link, self._in_flight[0])
            if self._in_flight.popleft() is self._of_much:
                self._of_much = None
            self._sent_at.popleft()
            if not self._in_flight:
                self._sent.clear()
                if self._refusal is not None:
                    raise self._refusal
            self._wake_writer()

    async def _confirm_batch(self, link: RedisLink, batch: deque[Submission]) -> None:
        """Read the batch's replies; what is left in it afterwards has an unknown fate."""
        if not batch:
            return
        while batch:
            try:
                stored = await link.read_reply()
            except ResponseError as error:
                self._refuse(batch.popleft(), error)
                continue
            assert isinstance(stored, int)
            submission = batch.popleft()
            if stored == NOT_IN_ORDER:
                self._refuse(submission, NotInOrderError("Redis has not the packet before one"))
            elif any(refused.submitter is submission.submitter for refused in self._refused):
                # a connection that could not be opened; its packets look late then
                self._refuse(submission, NotInOrderError("a connection is not open"))
            elif self._promise.command and submission.record_count is not None:
                self._stored.append((submission, stored))
            else:
                self._confirm(submission, stored)
        if self._promise.command:
            if not self._promise.is_kept(await link.read_reply()):
                raise DurabilityNotReachedError(f"no {self._promise.durability} in time")
            for submission, stored in self._stored:
                self._confirm(submission, stored)
            self._stored.clear()
        self._counters.redis_round_trip_s.observe(monotonic() - self._sent_at[0])

    def _refuse(self, submission: Submission, error: RedisError) -> None:
        """It is written again on the next connection; the first refusal is what is told."""
        self._refusal = self._refusal or error
        self._refused.append(submission)
        self._wake_writer()

    def _confirm(self, submission: Submission, stored: int) -> None:
        self._connections.succeeded()
        self._release(submission)
        if submission.record_count is None:
            submission.submitter.current()
            return
        if stored == SUPERSEDED:
            if not submission.submitter.ended:
                submission.submitter.superseded()
            return
        self._counters.records_stored += stored
        count = submission.record_count
        if stored != count:
            self._counters.records_known += count - stored
        submission.submitter.confirmed(count, submission.size, submission.read_at)

    def _release(self, submission: Submission) -> None:
        submission.settle()
        if self._newest.get(submission.submitter) is submission:
            del self._newest[submission.submitter]
        self.let_go(submission.size)

    def _take_batch(self) -> deque[Submission]:
        batch: deque[Submission] = deque()
        taken, is_of_much = self._pending.take(of_much=self._of_much is None)
        if is_of_much:
            self._of_much = batch
        for submission in taken:
            if submission.submitter.ended:
                self._release(submission)
            else:
                batch.append(submission)
        if not self._pending:
            self._crowded = CROWDED
        return batch

    def _wake_writer(self) -> None:
        """After a refusal nothing more is written on that connection: order would be lost."""
        is_free = len(self._in_flight) < BATCHES_IN_FLIGHT and not self._refused
        has_any = self._pending.has_any(of_much=self._of_much is None)
        if has_any and is_free and not self._held_back:
            self._work.set()
        else:
            self._work.clear()

    def _take_back(self) -> None:
        """The connection is gone: what it did not confirm is pending again."""
        again = [submission for submission, _ in self._stored]
        again += [*self._refused, *chain.from_iterable(self._in_flight)]
        self._stored = []
        self._refused = []
        self._refusal = None
        self._in_flight.clear()
        self._of_much = None
        self._sent_at.clear()
        self._sent.clear()
        self._pending.put_back(again)
        self._wake_writer()
