"""A device's line to its server: drives an `EmulatedDevice` over connections, one after another."""

import asyncio
from collections import deque
from collections.abc import Callable
from math import ceil, inf
from operator import itemgetter
from random import Random
from time import perf_counter, time_ns

from teltonika.codecs import CommandCodec, encode_message
from teltonika.emulator.answers import AnswerQueue
from teltonika.emulator.backoff import Backoff
from teltonika.emulator.connector import Connector
from teltonika.emulator.emulated_device import DeviceState, EmulatedDevice
from teltonika.emulator.events import (
    AckRefused,
    CommandExecuted,
    CommandIgnored,
    CommandRefused,
    DeviceEvent,
    ImeiAccepted,
    PacketDelivered,
    RecordsDeleted,
    Restarted,
)
from teltonika.emulator.observer import DeviceObserver
from teltonika.emulator.reasons import why_lost, why_not_connected
from teltonika.emulator.record_buffer import RecordBuffer
from teltonika.emulator.recording import Recorder, Recording
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.settings import EmulatorSettings
from teltonika.emulator.turns import TurnProtocol

SETTLE_S = 0.5
"""Four zero bytes with nothing behind them for so long are an ACK of no records, not the beginning
of a command."""

JITTER = 0.1
"""Of the interval: by so much at most a device of a fleet sends later than is due."""


class Wire(TurnProtocol):
    """One connection: hands its bytes to the link, and knows whether it still stands.

    While the server does not read the answers to its commands, no further command is read.
    """

    __slots__ = ("_link", "lost", "reset", "why_lost")

    def __init__(self, link: "DeviceLink") -> None:
        super().__init__()
        self._link = link
        self.lost = asyncio.Event()
        self.reset = False
        """Whether it was lost otherwise than by being closed."""
        self.why_lost = ""

    def take_turn(self, data: bytes) -> None:
        self._link.receive(data)

    def pause_writing(self) -> None:
        self.stop_taking()

    def resume_writing(self) -> None:
        self.go_on_taking()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.reset = exc is not None
        self.why_lost = self._link.describe_loss(exc)
        self.lost.set()
        self._link.wake()


class DeviceLink:
    """Runs one device against one server. Nothing of it runs outside `run`.

    The first packet is due at once, each further one ``interval_s`` after the one before was due.
    What could not go out in time, because the server was slow or away, follows as soon as each
    packet before it is acknowledged: so the records' timestamps and the clock stay together, and
    an outage ends in a flood, as it does with real devices.

    Commands are executed as they come; their answers go out between the packets, when and as the
    settings have it. An answer whose connection ends before it is due is lost.

    Over UDP a connection is a socket: it ends where the network says that nobody listens, and what
    got no answer in time is sent again on it, until one comes or the device gives up.

    ``rng`` decides the length of pauses only, never a byte that is sent. A device of a fleet begins
    anywhere within its interval, and is late by a little each time.
    """

    __slots__ = (
        "_abandons",
        "_answer_due",
        "_answers",
        "_away_s",
        "_away_why",
        "_backoff",
        "_began",
        "_buffer",
        "_connector",
        "_due",
        "_ends_now",
        "_failure",
        "_jitter_s",
        "_late_s",
        "_latency_total_s",
        "_loop",
        "_observer",
        "_patience",
        "_phase_s",
        "_recorder",
        "_recording",
        "_rng",
        "_running",
        "_settings",
        "_settle_due",
        "_stopping",
        "_texts",
        "_transport",
        "_wants_away",
        "_woken",
        "_written_at",
        "device",
    )

    _loop: asyncio.AbstractEventLoop
    _transport: asyncio.Transport
    _patience: asyncio.Timeout

    def __init__(
        self,
        device: EmulatedDevice,
        settings: EmulatorSettings,
        rng: Random,
        observer: DeviceObserver | None = None,
        recorder: Recorder | None = None,
        *,
        in_fleet: bool = False,
    ) -> None:
        """``in_fleet``: send at moments of its own, not in step with other devices."""
        self.device = device
        self._settings = settings
        self._observer = observer or DeviceObserver()
        self._rng = rng
        self._recorder = recorder
        self._recording: Recording | None = None  # of the present connection
        self._backoff = Backoff(settings.first_retry_s, settings.max_retry_s, rng)
        self._jitter_s = JITTER * settings.interval_s if in_fleet else 0.0
        self._phase_s = rng.uniform(0, settings.interval_s) if in_fleet else 0.0
        self._woken = asyncio.Event()
        self._stopping = False
        self._running = False
        records = device.records
        self._buffer = records if isinstance(records, RecordBuffer) else None
        self._began = 0.0  # when the first record is made, in the loop's time
        self._failure: Exception | None = None  # that `run` is to raise
        self._ends_now = False  # the connection, and the next one comes without a pause
        self._connector = Connector(settings)
        self._abandons = False  # the connection, without a word to the server
        self._wants_away = False  # without a connection: how long, and why
        self._away_s, self._away_why = 0.0, ""
        self._answers = AnswerQueue(settings.answer_delay_s, settings.answer_fault)
        self._texts: deque[bytes] = deque()
        self._settle_due = 0.0  # when `settle` is due, in the loop's time
        self._due = 0.0  # when the next packet is, in the loop's time
        self._late_s = 0.0  # by how much it comes later than that
        self._answer_due = 0.0  # when what was written last must be answered, in the loop's time
        self._written_at = 0.0  # when that was, by a finer clock: uvloop's has milliseconds
        self._latency_total_s = 0.0

    @property
    def stopping(self) -> bool:
        """Whether `stop` was called."""
        return self._stopping

    async def run(self) -> DeviceReport:
        """Connect, deliver, reconnect, until all is acknowledged or `stop` is asked for.

        Ends as well, with ``gave_up`` in the report, when for ``give_up_after_s`` the device had
        something to deliver, or no connection, and got no ACK. Cancelling closes the connection;
        The device's report is complete then too. Raises EncodeError for records that do not fit.
        """
        self._loop = asyncio.get_running_loop()
        started = perf_counter()
        self._due = self._began = self._loop.time() + self._phase_s
        report = self.device.report
        if self._stopping:
            return report
        self._running = True
        self._patience = asyncio.timeout(self._settings.give_up_after_s)
        try:
            async with self._patience:
                await self._deliver()
        except TimeoutError:
            if not self._patience.expired():
                raise
            report.gave_up = not self._stopping
        finally:
            self._running = False
            self._connector.close()
            report.duration_s = perf_counter() - started
            if report.packets_acknowledged:
                report.ack_latency_mean_s = self._latency_total_s / report.packets_acknowledged
        return report

    def stop(self) -> None:
        """End the run soon: as soon as the packet in flight, if any, is acknowledged.

        That is waited for on the present connection only, over TCP ``answer_timeout_s`` at most. To
        be called in `run`'s event loop; a second call does nothing.
        """
        if self._stopping:
            return
        self._stopping = True
        self.device.stop()
        if not self._running:  # it will end as soon as it begins
            return
        self.wake()  # what was due in this very moment is not any more
        if self.device.state is not DeviceState.AWAITING_ACK and not self._patience.expired():
            self._patience.reschedule(self._loop.time())

    @property
    def caught_up(self) -> bool:
        """Whether nothing is due: what was due is acknowledged, what comes next is not yet.

        Without an interval the next is always due, and it is enough that none is in flight.
        """
        if not self._running or self.device.state is DeviceState.DONE:
            return True
        if not self._settings.interval_s:
            return not self.device.has_unacknowledged
        return self.device.state is DeviceState.READY and self._due > self._loop.time()

    def lose_network(self, seconds: float) -> None:
        """Have no connection for so long, of which the server hears nothing; what becomes due
        meanwhile is sent after it."""
        self._abandons = True
        self._leave(seconds, "it has no network")

    def sleep(self, seconds: float) -> None:
        """Close the connection for so long; what becomes due meanwhile is never recorded."""
        self._leave(seconds, "it sleeps")
        if self._buffer is not None:
            ends_s = self._loop.time() - self._began + seconds
            self._buffer.advance(ends_s * 1000, asleep=True)
        elif self._settings.interval_s:
            packets = ceil(seconds / self._settings.interval_s)
            self.device.skip(packets)
            self._due += packets * self._settings.interval_s

    def restart(self) -> None:
        """As after the command cpureset."""
        self.device.restart()
        self._leave(self._settings.restart_after_s, "it starts again")

    def _leave(self, seconds: float, why: str) -> None:
        self._wants_away = True
        self._away_s, self._away_why = seconds, why
        self.wake()

    def send_text(self, text: str, codec: CommandCodec) -> None:
        """Send text that nobody asked for, as soon as there is a connection."""
        self._tick()
        device = self.device
        sent_s = device.unit.now_ms // 1000
        self._texts.append(encode_message(codec.text(text.encode(), device.imei, sent_s)))
        self.wake()

    def receive(self, data: bytes) -> None:
        """Bytes from the server."""
        if self._recording is not None:
            self._recording.received(data)
        self._tick()
        self._take(self.device.receive_data(data))
        patience_s = min(SETTLE_S, self._settings.answer_timeout_s)
        now = self._loop.time()
        self._settle_due = now + patience_s
        if self._goes_on_at_once(now):
            self._send_at_once()
        else:
            self.wake()

    def _goes_on_at_once(self, now: float) -> bool:
        """Whether the next packet is due, and nothing else is to be thought of before."""
        return (
            self.device.state is DeviceState.READY
            and self._due + self._late_s <= now
            and self._answers.due_s == inf
            and self._buffer is None
            and not (self._wants_away or self._ends_now or self._stopping or self.device.undecided)
        )

    def _send_at_once(self) -> None:
        """The same as `run` would do, once woken: waking it takes a third of a packet's time."""
        try:
            self._send_next()
        except Exception as error:
            self._failure = error
        if self.device.state is not DeviceState.AWAITING_ACK:
            self.wake()

    def wake(self) -> None:
        """Something changed that `run` must look at."""
        self._woken.set()

    async def _deliver(self) -> None:
        while True:
            reason = await self._connect_and_talk()
            if self._stopping or self.device.state is DeviceState.DONE:
                return
            if self._ends_now:
                self._ends_now = False
                self._observer.disconnected(self.device, reason, 0.0)
            elif not self._wants_away:
                await self._back_off(reason)
            while self._wants_away:
                await self._stay_away()

    async def _back_off(self, reason: str) -> None:
        if self._patience.when() is None:
            self._expect_progress()
        delay = self._backoff.next_delay()
        self._observer.disconnected(self.device, reason, delay)
        await asyncio.sleep(delay)

    async def _stay_away(self) -> None:
        """Have no connection for a while, in which nothing is wanted from the server."""
        self._wants_away = False
        self._patience.reschedule(None)
        self._observer.disconnected(self.device, self._away_why, self._away_s)
        await asyncio.sleep(self._away_s)
        self._backoff.reset()
        self._expect_progress()

    async def _connect_and_talk(self) -> str:
        """One connection from its beginning to its end; why it ended, or never was."""
        tls = self._settings.tls
        wire = Wire(self)
        try:
            transport = await self._connector.connect(wire)
        except OSError as error:  # a TimeoutError is one
            return why_not_connected(error, tls)
        self._transport = transport
        if self._recorder is not None:
            here, there = (transport.get_extra_info(name)[:2] for name in ("sockname", "peername"))
            self._recording = self._recorder.opened(here, there, self._settings.transport)
        self.device.connection_made()
        self._write()
        try:
            await self._talk(wire)
        finally:
            if self._recording is not None:
                by_server = wire.lost.is_set()
                self._recording.closed(by_server=by_server, reset=wire.reset)
                self._recording = None
            if self._abandons and not wire.lost.is_set():
                self._connector.abandon(transport)
                wire.lost.set()
            else:
                transport.abort()
            self._abandons = False
            self._forget_unwritten()
            self.device.connection_lost()
        await wire.lost.wait()
        if self._ends_now:
            return "on purpose"
        return self.device.complaint or wire.why_lost

    def describe_loss(self, error: Exception | None) -> str:
        """Why the connection is gone; without ``error`` the server closed it."""
        unanswered = self.device.state is DeviceState.AWAITING_ANSWER
        return why_lost(error, self._settings.tls if unanswered else None)

    def _forget_unwritten(self) -> None:
        """The connection is gone."""
        self._answers.clear()

    async def _talk(self, wire: Wire) -> None:
        """Do what the device wants until it wants no more of this connection, or that is lost."""
        while not (self._wants_away or self._ends_now or wire.lost.is_set()):
            step = self._next_step()
            if step is None:
                return
            if await self._woken_before(step[0]):
                if self._failure is not None:
                    failure, self._failure = self._failure, None
                    raise failure
                continue
            step = self._next_step()  # what was due may have been done, and something else be due
            if step is not None and step[0] <= self._loop.time():
                step[1]()

    def _next_step(self) -> tuple[float, Callable[[], None]] | None:
        """What is to be done if the server says nothing before, and when, in the loop's time.

        None where the device wants no more of this connection.
        """
        answer = (0.0 if self._may_send_text else self._answers.due_s, self._write)
        match self.device.state:
            case DeviceState.READY:
                self._patience.reschedule(None)  # nothing is wanted from the server
                step = (
                    self._due + self._late_s,
                    self._send_next if self._buffer is None else self._look,
                )
            case DeviceState.AWAITING_ANSWER | DeviceState.AWAITING_ACK:
                step = (self._answer_due, self._time_out)
            case _:
                return None
        if self._answers.mid_frame:
            return answer
        if self.device.undecided:
            step = (self._settle_due, self._settle)
        return min(step, answer, key=itemgetter(0))

    def _send_next(self) -> None:
        self._expect_progress()
        self._due += self._settings.interval_s
        self._late_s = self._rng.uniform(0, self._jitter_s)
        self._tick()
        self._queue_next()
        self._write()

    def _look(self) -> None:
        """Record what there is to record, and send if it is time."""
        buffer, now_ms = self._buffer, (self._loop.time() - self._began) * 1000
        if buffer is None:
            return
        buffer.advance(now_ms)
        if buffer.is_due(now_ms):
            self._send_next()
            self._due = self._loop.time()
        else:
            self._due = self._began + buffer.next_look_ms / 1000

    def _queue_next(self) -> None:
        self.device.send_next()

    def _time_out(self) -> None:
        self.device.answer_timed_out()
        self._write()

    def _settle(self) -> None:
        self._tick()
        self._take(self.device.settle())

    def _take(self, events: list[DeviceEvent]) -> None:
        """Tell of what the device learned and did, and write what it wants to say."""
        now = perf_counter()
        for event in events:
            match event:
                case ImeiAccepted():
                    self._accepted()
                case PacketDelivered(packet):
                    self._delivered(packet, now - self._written_at)
                case AckRefused(expected, found):
                    self._observer.ack_refused(self.device, expected, found)
                case CommandExecuted(text, answer):
                    self._answer(answer)
                    self._observer.command_executed(self.device, text)
                case CommandRefused(text, nack):
                    self._answer(nack)
                    self._observer.command_ignored(self.device, text, "it is for another IMEI")
                case CommandIgnored(text):
                    self._observer.command_ignored(self.device, text, "it is unknown")
                case Restarted():
                    self._leave(self._settings.restart_after_s, self.device.complaint)
                case RecordsDeleted():
                    self._skip_overdue()
        if not self._ends_now:
            self._write()

    def _accepted(self) -> None:
        self._observer.connected(self.device)

    def _answer(self, frame: bytes) -> None:
        if frame and not self._answers.add(frame, self._loop.time()):
            self.device.report.answers_dropped += 1

    def _skip_overdue(self) -> None:
        """Leave out the packets that are due. Without an interval no record has a time to be due:
        each is made to be sent."""
        if self._buffer is not None:
            self.device.report.records_deleted += self._buffer.clear()
            return
        overdue_s = self._loop.time() - self._due
        if self._settings.interval_s and overdue_s >= 0:
            packets = 1 + int(overdue_s / self._settings.interval_s)
            self.device.skip(packets)
            self._due += packets * self._settings.interval_s

    def _tick(self) -> None:
        self.device.unit.tick(time_ns() // 1_000_000)

    async def _woken_before(self, deadline: float) -> bool:
        """Wait for `wake`, until ``deadline`` in the loop's time at most."""
        if self._loop.time() >= deadline:
            return False
        self._woken.clear()
        try:
            async with asyncio.timeout_at(deadline):
                await self._woken.wait()
        except TimeoutError:
            return self._woken.is_set()  # both may come at once, and an answer counts more
        return True

    def _expect_progress(self) -> None:
        self._patience.reschedule(self._loop.time() + self._settings.give_up_after_s)

    def _delivered(self, packet: bytes, latency_s: float) -> None:
        report = self.device.report
        self._latency_total_s += latency_s
        report.ack_latency_max_s = max(report.ack_latency_max_s, latency_s)
        self._backoff.reset()
        self._observer.acknowledged(self.device, packet, latency_s)

    def _write(self) -> None:
        """Write the answers that are due, and the IMEI or the packet that the device has queued.

        Nothing comes between the pieces of one frame.
        """
        now = self._loop.time()
        while self._answers.due_s <= now:
            self._send(self._answers.pop())
            self.device.report.answers += not self._answers.mid_frame
        if self._answers.mid_frame:
            return
        while self._may_send_text:
            self._send(self._texts.popleft())
            self.device.report.texts += 1
        while data := self.device.data_to_send():
            self._write_frame(data, now)

    @property
    def _may_send_text(self) -> bool:
        """Whether one waits, and the server knows who says it."""
        told = self.device.state in (DeviceState.READY, DeviceState.AWAITING_ACK)
        return told and bool(self._texts)

    def _write_frame(self, data: bytes, now: float) -> None:
        """Write the IMEI or a packet: either wants an answer."""
        self._expect_answer(now)
        self._send(data)

    def _expect_answer(self, now: float) -> None:
        self._written_at = perf_counter()
        self._answer_due = now + self._settings.answer_timeout_s

    def _send(self, data: bytes) -> None:
        self._transport.write(data)
        if self._recording is not None:
            self._recording.sent(data)
