"""A device for tests: it does what it is told, and waits for what the server does about it."""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from functools import partial
from itertools import islice
from types import TracebackType
from typing import Self, cast

from teltonika.codecs import AVL_CODECS, TEXT_CODECS, AvlRecord, encode_message
from teltonika.emulator.assemble import assemble_device
from teltonika.emulator.connector import Connector
from teltonika.emulator.device_errors import (
    DeviceError,
    ImeiRejectedError,
    NoAnswerError,
    NotConnectedError,
    WrongAckError,
)
from teltonika.emulator.emulated_device import DeviceState
from teltonika.emulator.events import (
    AckRefused,
    BytesAnswered,
    CommandExecuted,
    CommandIgnored,
    CommandRefused,
    DeviceEvent,
    Restarted,
)
from teltonika.emulator.link import SETTLE_S
from teltonika.emulator.machine import REJECTED, DeviceMachine
from teltonika.emulator.reasons import why_lost, why_not_connected
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.settings import EmulatorSettings
from teltonika.emulator.tls import TlsSettings
from teltonika.emulator.turns import TurnProtocol
from teltonika.emulator.unit import Answers

DEFAULT_IMEI = "356307042441013"

NO_CONNECTION = "there is no connection"

KEPT_COMMANDS = 1_000
"""The newest of those that came and that nobody asked `Device.next_command` for."""

CLOSE_S = 1.0
"""For what was written and the server has not taken; then the connection is cut."""


class Device:
    """``async with Device(port=5027) as device: await device.send(10)``.

    Entering connects, says the IMEI, and waits until the server takes it. ``codec`` is 8, 8E or
    16; ``records_per_packet`` 1 to 255. Every wait ends after ``timeout_s`` at most. The same
    ``seed`` and ``imei`` drive the same way. Commands are answered as they come, as a device does,
    or with ``answers``: command to answer, or a function from one to the other.

    What was sent and not acknowledged is kept, and sent again first thing after `connect`. What
    several tasks send goes out one after the other, and after what was cancelled the next waits for
    its ACK first. Raises ValueError for an IMEI or a codec that is none, a `DeviceError` for what
    the server does.
    """

    def __init__(
        self,
        imei: str = DEFAULT_IMEI,
        *,
        host: str = "127.0.0.1",
        port: int = 5027,
        codec: str = "8E",
        records_per_packet: int = 1,
        seed: int = 0,
        timeout_s: float = 10.0,
        tls: TlsSettings | None = None,
        answers: Answers | None = None,
    ) -> None:
        if not 1 <= records_per_packet <= 255:
            raise ValueError(f"1 to 255 records make a packet, not {records_per_packet}")
        settings = EmulatorSettings(
            host=host,
            port=port,
            codec=AVL_CODECS.by_name(codec),
            records=0,
            seed=seed,
            connect_timeout_s=timeout_s,
            tls=tls,
        )
        machine = assemble_device(imei, settings, time.time_ns() // 1_000_000)
        assert isinstance(machine, DeviceMachine)  # by the transport
        self._machine = machine
        if answers is not None:
            self._machine.unit.answers = answers
        self._drive = self._machine.records
        self._settings = settings
        self._connector = Connector(settings)
        self._records_per_packet = records_per_packet
        self._timeout_s = timeout_s
        self._wire: _Wire | None = None
        self._turn = asyncio.Lock()
        """Held by the one who connects or sends: an ACK does not say what it is for."""
        self._changed = asyncio.Event()
        self._trouble: Callable[[], Exception] | None = self._not_connected(NO_CONNECTION)
        """Makes what went wrong first on this connection, each time anew: an exception that is
        kept keeps all that it went through."""
        self._own_failure: Exception | None = None  # of `answers`: raised once
        self._commands: deque[str] = deque(maxlen=KEPT_COMMANDS)
        self._accepted = 0  # of the bytes that were sent last

    @property
    def imei(self) -> str:
        return self._machine.imei

    @property
    def acked(self) -> int:
        """Records that the server acknowledged, each counted once."""
        return self.report.records_acknowledged

    @property
    def sent(self) -> int:
        """Records that were sent, each counted once."""
        return self.report.records_sent

    @property
    def report(self) -> DeviceReport:
        """All that was counted."""
        return self._machine.report

    @property
    def connected(self) -> bool:
        """Whether the connection stands, as far as the device knows."""
        return self._wire is not None and not self._wire.lost.is_set()

    async def __aenter__(self) -> Self:
        await self.connect()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def connect(self) -> None:
        """Connect, again if there is a connection, and deliver what is not acknowledged yet."""
        async with self._turn:
            await self.close()
            self._trouble = self._own_failure = None
            self._machine.records = self._drive
            try:
                await self._make_connection()
                await self._until_idle("no answer to the IMEI")
            except BaseException:
                await self.close()
                raise

    async def close(self) -> None:
        """End the connection, if there is one. What is not acknowledged is kept."""
        self._fail(self._not_connected(NO_CONNECTION))
        wire = self._wire  # another one may come before this one is lost
        if wire is not None:
            wire.transport.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await wire.lost.wait()
            if not wire.lost.is_set():  # it has no event loop any more then
                wire.transport.abort()
            await wire.lost.wait()

    async def send(self, records: int | AvlRecord | Iterable[AvlRecord]) -> None:
        """Send records and wait for the ACK of each packet: so many of a drive, or these.

        Raises WrongAckError, NoAnswerError or NotConnectedError, and EncodeError for records that
        do not fit.
        """
        async with self._turn:
            await self._until_idle("no ACK of what was sent before")
            for batch in self._batches(records):
                self._machine.records = iter(batch)
                self._machine.records_per_packet = len(batch)
                self._machine.send_next()
                self._write()
                await self._until_idle(f"no ACK of {len(batch)} records")

    async def send_packet(self, packet: bytes) -> int:
        """Send these very bytes, right or wrong; how many records the server acknowledges then."""
        async with self._turn:
            await self._until_idle("no ACK of what was sent before")
            self._machine.send_bytes(packet)
            self._write()
            await self._until_idle("no ACK")
            return self._accepted

    def send_text(self, text: str, codec: str = "13") -> None:
        """Say something that nobody asked for, in codec 13 or 15; no ACK comes to it.

        Raises NotConnectedError, and ValueError for another codec.
        """
        self._check()
        sent_s = time.time_ns() // 1_000_000_000
        message = TEXT_CODECS.by_name(codec).text(text.encode(), self.imei, sent_s)
        self._send(encode_message(message))
        self.report.texts += 1

    async def next_command(self, timeout_s: float | None = None) -> str:
        """The text of the next command that came, whether the device knows it or not.

        What it does, it has done then, and its answer is written. Raises NoAnswerError, which is a
        TimeoutError, where none comes within ``timeout_s``; the connection stays. Of commands that
        nobody asks for, the last `KEPT_COMMANDS` are kept.
        """
        patience_s = self._timeout_s if timeout_s is None else timeout_s
        await self._until(lambda: bool(self._commands), "no command", patience_s)
        return self._commands.popleft()

    async def _make_connection(self) -> None:
        try:
            await self._connector.connect(_Wire(self._made, self._received, self._was_lost))
        except OSError as error:
            reason = why_not_connected(error, self._settings.tls)
            raise NotConnectedError(self._about(reason)) from error

    def _batches(
        self, records: int | AvlRecord | Iterable[AvlRecord]
    ) -> Iterator[tuple[AvlRecord, ...]]:
        if isinstance(records, int):
            left: Iterator[AvlRecord] = islice(self._drive, records)
        else:
            left = iter((records,) if isinstance(records, AvlRecord) else records)
        while batch := tuple(islice(left, self._records_per_packet)):
            yield batch

    def _is_idle(self) -> bool:
        machine = self._machine
        ready = machine.state is DeviceState.READY and not machine.undecided
        return ready and not machine.has_unacknowledged

    async def _until_idle(self, what_is_missing: str) -> None:
        """Wait until nothing is in flight. What goes wrong ends the connection."""
        try:
            await self._until(self._is_idle, what_is_missing, self._timeout_s)
            self._check()
        except Exception as error:
            if isinstance(error, NoAnswerError):
                self._fail(partial(NoAnswerError, str(error)))
            await self.close()  # an answer that comes late would be taken for another one
            raise

    async def _until(
        self, done: Callable[[], bool], what_is_missing: str, timeout_s: float
    ) -> None:
        """Wait for the server to bring this about. What it does wrong meanwhile is raised."""
        try:
            async with asyncio.timeout(timeout_s) as limit:
                while not done():
                    self._check()
                    self._changed.clear()
                    await self._wait_for_change()
        except TimeoutError:
            if not limit.expired():  # what was raised inside
                raise
            complaint = f"{what_is_missing} within {timeout_s:g} s"
            raise NoAnswerError(self._about(complaint)) from None

    async def _wait_for_change(self) -> None:
        if not self._machine.undecided:
            await self._changed.wait()
            return
        try:
            async with asyncio.timeout(min(SETTLE_S, self._timeout_s / 2)):
                await self._changed.wait()
        except TimeoutError:
            self._take(self._machine.settle())

    def _check(self) -> None:
        """Raises what went wrong first on this connection."""
        if self._own_failure is not None:
            failure, self._own_failure = self._own_failure, None
            raise failure
        if self._trouble is not None:
            raise self._trouble()

    def _fail(self, trouble: Callable[[], Exception]) -> None:
        self._trouble = self._trouble or trouble
        self._changed.set()

    def _not_connected(self, sentence: str) -> Callable[[], Exception]:
        return partial(NotConnectedError, self._about(sentence))

    def _about(self, sentence: str) -> str:
        return f"{self.imei} at {self._settings.host}:{self._settings.port}: {sentence}"

    def _made(self, wire: "_Wire") -> None:
        self._wire = wire
        self._machine.connection_made()
        self._write()

    def _received(self, data: bytes) -> None:
        self._machine.unit.tick(time.time_ns() // 1_000_000)
        try:
            self._take(self._machine.receive_data(data))
        except Exception as error:  # of one's own answers: the test that waits is to see it
            self._own_failure = error
            self._fail(self._not_connected("what it was to answer could not be made"))

    def _take(self, events: list[DeviceEvent]) -> None:
        for event in events:
            match event:
                case BytesAnswered(count):
                    self._accepted = count
                case AckRefused(expected, found) if expected:  # others: nobody asked for
                    sentence = f"expected an ACK of {expected} records, found {found}"
                    self._fail(partial(WrongAckError, self._about(sentence), expected, found))
                case CommandExecuted(text, answer) | CommandRefused(text, answer):
                    self._send(answer)
                    self.report.answers += bool(answer)
                    self._commands.append(text)
                case CommandIgnored(text):
                    self._commands.append(text)
                case Restarted():
                    self._fail(self._not_connected("it starts again, as told"))
                case _:
                    pass
        if self._machine.state is DeviceState.CLOSING:
            complaint = self._machine.complaint
            error = ImeiRejectedError if complaint == REJECTED else DeviceError
            self._fail(partial(error, self._about(complaint)))
            self._hang_up()
        if self._trouble is None:
            self._write()
        self._changed.set()

    def _was_lost(self, error: Exception | None) -> None:
        unanswered = self._machine.state is DeviceState.AWAITING_ANSWER
        self._machine.connection_lost()
        tls = self._settings.tls if unanswered else None
        self._fail(self._not_connected(why_lost(error, tls)))

    def _hang_up(self) -> None:
        if self._wire is not None:
            self._wire.transport.close()

    def _write(self) -> None:
        self._send(self._machine.data_to_send())

    def _send(self, data: bytes) -> None:
        if self._wire is not None and data:
            self._wire.transport.write(data)


class _Wire(TurnProtocol):
    """One connection: hands on what happens to it, and knows whether it still stands.

    While the server does not read the answers to its commands, no further command is read.
    """

    transport: asyncio.Transport

    def __init__(
        self,
        made: Callable[["_Wire"], None],
        received: Callable[[bytes], None],
        lost: Callable[[Exception | None], None],
    ) -> None:
        super().__init__()
        self.lost = asyncio.Event()
        self._on_made = made
        self._on_received = received
        self._on_lost = lost

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport = cast("asyncio.Transport", transport)
        self._on_made(self)

    def take_turn(self, data: bytes) -> None:
        self._on_received(data)

    def pause_writing(self) -> None:
        self.stop_taking()

    def resume_writing(self) -> None:
        self.go_on_taking()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.lost.set()
        self._on_lost(exc)
