"""One session played: what the script says goes out, and what comes is compared with it."""

import asyncio
import socket
import struct
from bisect import bisect_left
from collections.abc import Callable
from itertools import takewhile
from time import perf_counter

from teltonika.codecs.captures import Closing, Side
from teltonika.emulator.link import SETTLE_S
from teltonika.emulator.replay.results import (
    FOUND_BYTES,
    KEPT_EXTRAS,
    Difference,
    SessionResult,
)
from teltonika.emulator.replay.script import Expected, Script
from teltonika.emulator.replay.settings import ReplaySettings
from teltonika.emulator.replay.stream import ServerMessage, ServerStream
from teltonika.emulator.turns import TurnProtocol

FLOOD_BYTES = 1_048_576
"""A server that says so much of what the capture does not have is left."""
_LINGER_S = 2.0
"""How long a server may take to close behind the device, before nothing more is waited for."""
_RST_ON_CLOSE = struct.pack("ii", 1, 0)
_UDP_KEY = slice(2, 6)  # packet id, 01, AVL packet id


class _Line:
    """What both transports have in common: the answers that are due, and those that came."""

    def __init__(self, script: Script, settings: ReplaySettings) -> None:
        self._script = script
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._open = list(script.answers)
        self._missed = 0
        self._heard = 0.0  # when something came last, in the loop's time
        self._answered_last = 0.0  # when an answer came last that was due
        self._extras = 0  # what came and is not in the capture
        self._extra_bytes = 0
        self._written: list[tuple[int, float]] = []  # bytes in all, and when
        self._latencies: list[float] = []
        self._woken = asyncio.Event()
        self.lost = False
        self.result = SessionResult(
            session=script.session,
            transport=script.transport,
            imei=script.imei,
            captured_imei=script.captured_imei,
            of=script.size,
            answers=len(script.answers),
            commands_captured=len(script.commands),
            note=script.note,
        )

    async def _pace(self, at_s: float, began: float) -> None:
        """Until the moment that the capture and the speed give, or the connection's end."""
        if self._settings.speed is not None:
            due = began + at_s / self._settings.speed
            await self._until(lambda: False, lambda: due)

    async def _answered(self, count: int) -> bool:
        """Until the first ``count`` answers are there, each in its time; whether they are."""
        begin = self._loop.time()
        return await self._until(
            lambda: len(self._script.answers) - len(self._open) >= count,
            lambda: max(begin, self._answered_last) + self._settings.timeout_s,
        )

    async def _until(self, done: Callable[[], bool], deadline: Callable[[], float]) -> bool:
        while not done():
            if self.lost or self._loop.time() >= deadline():
                return False
            self._woken.clear()
            try:
                async with asyncio.timeout_at(min(deadline(), self._settle_due())):
                    await self._woken.wait()
            except TimeoutError:
                self._settle()
        return True

    def _settle_due(self) -> float:
        return float("inf")

    def _settle(self) -> None:
        """Nothing came for a while."""

    def _wrote(self, data: bytes) -> None:
        self.result.sent += len(data)
        self._written.append((self.result.sent, perf_counter()))

    def _came(self, message: ServerMessage) -> None:
        self._heard = self._loop.time()
        if message.command:
            self._command(message)
            return
        due = list(takewhile(lambda answer: answer.due_at <= self.result.sent, self._open))
        if not due:
            self.result.unexpected += 1
            self._extra("unexpected", message.offset, None, message.data)
            return
        self._answered_last = self._loop.time()
        expected = self._stands_for(message, due)
        self._open.remove(expected)
        place = bisect_left(self._written, (expected.due_at, 0.0))
        if place < len(self._written):
            self._latencies.append(perf_counter() - self._written[place][1])
        if expected.data == message.data:
            self.result.as_expected += 1
        else:
            self.result.different += 1
            self._differs("different", expected.offset, expected.data, message.data)

    def _stands_for(self, message: ServerMessage, due: list[Expected]) -> Expected:
        return due[0]

    def _command(self, message: ServerMessage) -> None:
        number, self.result.commands = self.result.commands, self.result.commands + 1
        captured = self._script.commands
        expected = captured[number] if number < len(captured) else None
        if expected != message.data:
            self._extra("command", message.offset, expected, message.data)

    def _extra(self, kind: str, offset: int, expected: bytes | None, found: bytes) -> None:
        """What the capture does not have: there may be no end to it."""
        self._extras += 1
        self._extra_bytes += len(found) + 1  # an empty datagram is one as well
        if self._extras <= KEPT_EXTRAS:
            self._differs(kind, offset, expected, found)
        else:
            self.result.left_out += 1
        if self._extra_bytes > FLOOD_BYTES and not self.lost:
            self.result.error = (
                f"the server sent more than {FLOOD_BYTES:,} bytes that the capture does not have"
            )
            self.lost = True
            self._woken.set()

    def _differs(self, kind: str, offset: int, expected: bytes | None, found: bytes | None) -> None:
        self.result.differences.append(
            Difference(
                kind,  # type: ignore[arg-type]
                offset,
                None if expected is None else expected.hex(),
                None if found is None else found[:FOUND_BYTES].hex(),
            )
        )

    def _finish(self) -> SessionResult:
        """The balance, once nothing more is waited for."""
        result = self.result
        for answer in self._open:
            result.missing += 1
            self._differs("missing", answer.offset, answer.data, None)
        if self._latencies:
            result.latency_mean_ms = round(sum(self._latencies) / len(self._latencies) * 1000, 3)
            result.latency_max_ms = round(max(self._latencies) * 1000, 3)
        result.ok = not (result.different or result.missing or result.error)
        if self._settings.strict:
            for number, command in enumerate(self._script.commands[result.commands :]):
                self._differs("command", number + result.commands, command, None)
            result.ok = result.ok and not result.differences and result.note is None
        return result

    def _note(self, note: str) -> None:
        self.result.note = note if self.result.note is None else f"{self.result.note}; {note}"


class TcpLine(_Line, TurnProtocol):
    """A session over TCP."""

    def __init__(self, script: Script, settings: ReplaySettings) -> None:
        _Line.__init__(self, script, settings)
        TurnProtocol.__init__(self)
        self._stream = ServerStream()

    async def play(self) -> SessionResult:
        settings = self._settings
        try:
            async with asyncio.timeout(settings.timeout_s):
                transport, _ = await self._loop.create_connection(
                    lambda: self, settings.host, settings.port
                )
        except (OSError, UnicodeError) as error:  # a TimeoutError is one; a host can be no name
            self.result.error = f"no connection: {_why(error)}"
            return self._finish()
        try:
            await self._write_all(transport)
            if self.result.error is None and not self.lost:
                await self._close(transport)
        finally:
            transport.abort()
        for message in self._stream.settle():
            self._came(message)
        return self._finish()

    async def _write_all(self, transport: asyncio.Transport) -> None:
        began = self._loop.time()
        for write in self._script.writes:
            await self._pace(write.at_s, began)
            if not await self._answered(write.answers_before):
                if not self.lost:
                    self.result.error = (
                        f"an answer did not come within {self._settings.timeout_s:g} s"
                    )
                break
            if self.lost:
                break
            transport.write(write.data)
            self._wrote(write.data)
        else:
            await self._answered(len(self._script.answers))
            if self._script.closed_by is Side.DEVICE:
                await self._pace(self._script.closes_at_s, began)
        ends_so = self._script.closed_by is Side.SERVER and not self._open
        if self.result.error is None and self.lost and not ends_so and self._has_more:
            self.result.error = (
                f"the server closed after {self.result.sent} of {self.result.of} bytes"
            )

    @property
    def _has_more(self) -> bool:
        return self.result.sent < self.result.of

    async def _close(self, transport: asyncio.Transport) -> None:
        """As in the capture, by whoever closed there."""
        timeout_s = self._settings.timeout_s
        if self._script.closed_by is Side.SERVER:
            end = self._loop.time() + timeout_s
            await self._until(lambda: self.lost, lambda: end)
            if not self.lost:
                self._note("the server closed in the capture, and did not here")
            return
        if self._script.closed_by is Side.DEVICE and self._script.closing is Closing.RST:
            transport.get_extra_info("socket").setsockopt(
                socket.SOL_SOCKET, socket.SO_LINGER, _RST_ON_CLOSE
            )
            return
        transport.write_eof()  # what the server still has to say is heard
        end = self._loop.time() + min(timeout_s, _LINGER_S)
        await self._until(lambda: self.lost, lambda: end)

    def take_turn(self, data: bytes) -> None:
        if self.lost:
            return
        self._heard = self._loop.time()
        for message in self._stream.receive_data(data):
            self._came(message)
        self._woken.set()

    def connection_lost(self, exc: Exception | None) -> None:
        TurnProtocol.connection_lost(self, exc)
        self.lost = True
        self._woken.set()

    def _settle_due(self) -> float:
        return self._heard + SETTLE_S if self._stream.undecided else float("inf")

    def _settle(self) -> None:
        if self._loop.time() >= self._settle_due():
            for message in self._stream.settle():
                self._came(message)


class UdpLine(_Line, asyncio.DatagramProtocol):
    """A session over UDP. A datagram without its answer does not keep the next one back."""

    async def play(self) -> SessionResult:
        settings = self._settings
        port = settings.port if settings.udp_port is None else settings.udp_port
        try:
            transport, _ = await self._loop.create_datagram_endpoint(
                lambda: self, remote_addr=(settings.host, port)
            )
        except (OSError, UnicodeError) as error:
            self.result.error = f"no way to send: {_why(error)}"
            return self._finish()
        began = self._loop.time()
        given_up = 0
        try:
            for write in self._script.writes:
                await self._pace(write.at_s, began)
                if not await self._answered(write.answers_before - given_up):
                    given_up = write.answers_before - (len(self._script.answers) - len(self._open))
                if self.lost:
                    break
                transport.sendto(write.data)
                self._wrote(write.data)
            await self._answered(len(self._script.answers) - given_up)
        finally:
            transport.abort()
        return self._finish()

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self.lost:
            return
        self._came(ServerMessage(self.result.as_expected + self.result.different, data))
        self._woken.set()

    def error_received(self, exc: Exception) -> None:
        self.result.error = f"nothing listens there: {exc}"
        self.lost = True
        self._woken.set()

    def _stands_for(self, message: ServerMessage, due: list[Expected]) -> Expected:
        same = [answer for answer in due if answer.data[_UDP_KEY] == message.data[_UDP_KEY]]
        return (same or due)[0]


def _why(error: OSError | UnicodeError) -> str:
    return getattr(error, "strerror", None) or str(error) or "timed out"
