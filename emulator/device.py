"""A device for tests: it does what it is told, and waits for what the server does about it."""

import asyncio
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from itertools import islice
from types import TracebackType
from typing import Self

from teltonika.codecs import AVL_CODECS, AvlRecord
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
    CommandExecuted,
    CommandIgnored,
    CommandRefused,
    DeviceEvent,
    Restarted,
)
from teltonika.emulator.link import SETTLE_S
from teltonika.emulator.machine import REJECTED
from teltonika.emulator.reasons import why_lost, why_not_connected
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.settings import EmulatorSettings
from teltonika.emulator.tls import TlsSettings

DEFAULT_IMEI = "356307042441013"

CLOSE_S = 1.0
"""For what was written and the server has not taken; then the connection is cut."""


class Device:
    """``async with Device(port=5027) as device: await device.send(10)``.

    Entering connects, says the IMEI, and waits until the server takes it. ``codec`` is 8, 8E or
    16; ``records_per_packet`` 1 to 255. Every wait ends after ``timeout_s`` at most. The same
    ``seed`` and ``imei`` drive the same way. Commands are answered as they come, as a device does.

    What was sent and not acknowledged is kept, and sent again first thing after `connect`. Raises
    ValueError for an IMEI or a codec that is none, a `DeviceError` for what the server does.
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
        self._machine = assemble_device(imei, settings, time.time_ns() // 1_000_000)
        self._drive = self._machine.records
        self._settings = settings
        self._connector = Connector(settings)
        self._records_per_packet = records_per_packet
        self._timeout_s = timeout_s
        self._transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()
        self._lost = asyncio.Event()
        self._lost.set()
        self._trouble: DeviceError | None = None
        self._commands: asyncio.Queue[str] = asyncio.Queue()
        self._other_acks: asyncio.Queue[int] = asyncio.Queue()

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
        return not self._lost.is_set()

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
        await self.close()
        self._trouble = None
        self._lost.clear()
        self._machine.records = self._drive
        wire = _Wire(self._received, self._was_lost)
        try:
            transport = await self._connector.connect(wire)
        except OSError as error:
            self._lost.set()
            reason = why_not_connected(error, self._settings.tls)
            raise NotConnectedError(self._about(reason)) from error
        self._transport = transport
        self._machine.connection_made()
        self._write()
        await self._until(self._is_idle, "no answer to the IMEI")

    async def close(self) -> None:
        """End the connection, if there is one. What is not acknowledged is kept."""
        if self._transport is not None:
            self._transport.close()
            with suppress(TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await self._lost.wait()
            self._transport.abort()
            await self._lost.wait()
            self._transport = None

    async def send(self, records: int | AvlRecord | Iterable[AvlRecord]) -> None:
        """Send records and wait for the ACK of each packet: so many of a drive, or these.

        Raises WrongAckError, NoAnswerError or NotConnectedError, and EncodeError for records that
        do not fit.
        """
        for batch in self._batches(records):
            self._check()
            self._machine.records = iter(batch)
            self._machine.records_per_packet = len(batch)
            self._machine.send_next()
            self._write()
            await self._until(self._is_idle, f"no ACK of {len(batch)} records")

    async def send_packet(self, packet: bytes) -> int:
        """Send these very bytes, right or wrong; how many records the server acknowledges then."""
        self._check()
        self._send(packet)
        await self._until(lambda: not self._other_acks.empty(), "no ACK")
        return self._other_acks.get_nowait()

    async def next_command(self) -> str:
        """The text of the next command that came, whether the device knows it or not.

        What it does, it has done then, and its answer is written.
        """
        await self._until(lambda: not self._commands.empty(), "no command")
        return self._commands.get_nowait()

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
        return machine.state is DeviceState.READY and not machine.has_unacknowledged

    async def _until(self, done: Callable[[], bool], what_is_missing: str) -> None:
        """Wait for the server to bring this about. What it does wrong meanwhile is raised."""
        try:
            async with asyncio.timeout(self._timeout_s):
                while not done():
                    self._check()
                    self._changed.clear()
                    await self._wait_for_change()
        except TimeoutError:
            self._trouble = NoAnswerError(
                self._about(f"{what_is_missing} within {self._timeout_s:g} s")
            )
        if self._trouble is not None:
            await self.close()  # an answer that comes late would be taken for another one
            raise self._trouble

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
        """Raises what went wrong since the last look."""
        if self._trouble is not None:
            raise self._trouble
        if self._lost.is_set():
            raise NotConnectedError(self._about("there is no connection"))

    def _about(self, sentence: str) -> str:
        return f"{self.imei} at {self._settings.host}:{self._settings.port}: {sentence}"

    def _received(self, data: bytes) -> None:
        self._machine.unit.tick(time.time_ns() // 1_000_000)
        self._take(self._machine.receive_data(data))

    def _take(self, events: list[DeviceEvent]) -> None:
        for event in events:
            match event:
                case AckRefused(0, found):
                    self._other_acks.put_nowait(found)
                case AckRefused(expected, found):
                    sentence = f"expected an ACK of {expected} records, found {found}"
                    self._trouble = WrongAckError(self._about(sentence), expected, found)
                case CommandExecuted(text, answer) | CommandRefused(text, answer):
                    self._send(answer)
                    self.report.answers += bool(answer)
                    self._commands.put_nowait(text)
                case CommandIgnored(text):
                    self._commands.put_nowait(text)
                case Restarted():
                    self._trouble = NotConnectedError(self._about("it starts again, as told"))
                case _:
                    pass
        if self._machine.state is DeviceState.CLOSING and self._trouble is None:
            complaint = self._machine.complaint
            error = ImeiRejectedError if complaint == REJECTED else DeviceError
            self._trouble = error(self._about(complaint))
        if self._trouble is None:
            self._write()
        self._changed.set()

    def _was_lost(self, error: Exception | None) -> None:
        unanswered = self._machine.state is DeviceState.AWAITING_ANSWER
        self._machine.connection_lost()
        if self._trouble is None:
            tls = self._settings.tls if unanswered else None
            self._trouble = NotConnectedError(self._about(why_lost(error, tls)))
        self._lost.set()
        self._changed.set()

    def _write(self) -> None:
        self._send(self._machine.data_to_send())

    def _send(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)


class _Wire(asyncio.Protocol):
    """Hands on what happens to a connection."""

    def __init__(
        self, received: Callable[[bytes], None], lost: Callable[[Exception | None], None]
    ) -> None:
        self._on_received = received
        self._on_lost = lost

    def data_received(self, data: bytes) -> None:
        self._on_received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self._on_lost(exc)
