"""A bare socket that says what a case tells it to, and knows what a server may answer.

No state machine keeps it from sending what a device would not. What comes back is cut into
answers by `teltonika.codecs.DeviceConnection`; commands, which a server may send at any moment,
are skipped. A server that sends `FLOOD_BYTES`, of whatever, is left, and the case has seen that.
"""

import asyncio
from collections import deque
from typing import NoReturn, cast

from teltonika.codecs import (
    DeviceConnection,
    DeviceEvent,
    HandshakeAnswered,
    PacketAcknowledged,
    ProtocolViolation,
)
from teltonika.emulator.conformance.patience import Patience
from teltonika.emulator.conformance.transcript import Speaker, Transcript, shown_bytes
from teltonika.emulator.turns import TurnProtocol

FLOOD_BYTES = 65_536
"""On one connection: no case has a server say a hundredth of it."""
_ANY_IMEI = "0" * 15
"""What the parser of the answers is told: it sends nothing."""


class Unexpected(Exception):  # noqa: N818 - it is no error of ours, but what a case found
    """What the server did instead of what the case expects, as one sentence."""


class DeviceSocket(TurnProtocol):
    """One TCP connection to the server."""

    def __init__(self, patience: Patience, transcript: Transcript) -> None:
        super().__init__()
        self._patience = patience
        self._transcript = transcript
        self._number = transcript.connected()
        self._answers = DeviceConnection()
        self._answers.start(_ANY_IMEI)
        self._events: deque[DeviceEvent] = deque()
        self._unread = bytearray()
        self._answers_size = 0  # how much of what is unread the events are
        self._received = 0
        self._changed = asyncio.Event()
        self._gone = asyncio.Event()
        self.closed_by_server = False

    # -- asyncio calls these ---------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._transport = cast(asyncio.Transport, transport)

    def take_turn(self, data: bytes) -> None:
        if self._floods():
            return
        self._transcript.add(self._number, Speaker.SERVER, data)
        self._received += len(data)
        if self._floods():
            self._transport.abort()
            self._changed.set()
            return
        self._unread += data
        self._took(self._answers.receive_data(data))
        self._changed.set()

    def eof_received(self) -> bool:
        self._ended("closed")
        return True

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        if exc is not None:
            self._ended(f"connection lost: {exc}")
        self._gone.set()

    # -- cases call these ------------------------------------------------------------------

    async def send(self, data: bytes) -> None:
        """One write. What the server closed already takes no more: `closed_by_server` tells."""
        if self._transport.is_closing():
            return
        self._transcript.add(self._number, Speaker.DEVICE, data)
        self._transport.write(data)
        await asyncio.sleep(0)

    async def send_in_pieces(self, *pieces: bytes, pause_s: float = 0.002) -> None:
        """One write for each, with a pause behind each but the last, so that TCP keeps them
        apart."""
        for piece in pieces[:-1]:
            await self.send(piece)
            await asyncio.sleep(pause_s)
        await self.send(pieces[-1])

    def close(self) -> None:
        """Close from the device's side."""
        if not self._transport.is_closing():
            self._transcript.add(self._number, Speaker.DEVICE, note="closes")
            self._transport.close()

    async def leave(self) -> None:
        """Close, and wait until the socket is free. A server that does not read is left at once."""
        self.close()
        try:
            async with asyncio.timeout(self._patience.quiet_s):
                await self._gone.wait()
        except TimeoutError:
            self._transport.abort()
            await self._gone.wait()

    async def expect_accepted(self) -> None:
        """The one byte ``01``."""
        if not await self._handshake_answer():
            raise Unexpected("the server rejected the IMEI with 00")

    async def expect_rejected(self) -> None:
        """The one byte ``00``."""
        if await self._handshake_answer():
            raise Unexpected("the server accepted the IMEI with 01")

    async def expect_ack(self, *counts: int) -> None:
        """One ACK for each packet in turn, of so many records."""
        for number, count in enumerate(counts, 1):
            which = f" of packet {number}" if len(counts) > 1 else ""
            found = await self._next_ack()
            if found is None:
                self._nothing_came(f"no ACK{which}")
            if found != count:
                raise Unexpected(f"the ACK{which} says {found} records where {count} were sent")

    async def next_accepted(self, wait_s: float | None = None) -> int | None:
        """The next ACK that accepts records; None if none comes in time, or before the end."""
        now = asyncio.get_running_loop().time
        deadline = now() + (self._patience.answer_s if wait_s is None else wait_s)
        while (count := await self._next_ack(max(0.0, deadline - now()))) == 0:
            pass
        return count

    async def expect_silence(self, when: str) -> None:
        """No ACK and no other bytes, for a moment; ``when`` ends the sentence if there are.

        A server may close meanwhile; a command of its own is no answer.
        """
        deadline = asyncio.get_running_loop().time() + self._patience.quiet_s
        while not self._unread and not self.closed_by_server and await self._change(deadline):
            pass
        if self._unread:
            raise Unexpected(f"the server sent {shown_bytes(bytes(self._unread))} {when}")

    async def closed(self) -> bool:
        """Whether the server closes in the time that an answer may take."""
        deadline = asyncio.get_running_loop().time() + self._patience.answer_s
        while not self.closed_by_server and await self._change(deadline):
            pass
        return self.closed_by_server

    # --------------------------------------------------------------------------------------

    def _ended(self, note: str) -> None:
        if not self.closed_by_server:
            self.closed_by_server = True
            self._transcript.add(self._number, Speaker.SERVER, note=note)
            self._changed.set()

    def _took(self, events: list[DeviceEvent]) -> None:
        """Keep answers, and drop the bytes of commands from what is unread."""
        for event in events:
            if isinstance(event, HandshakeAnswered | PacketAcknowledged | ProtocolViolation):
                self._events.append(event)
                self._answers_size += _size(event)
            else:  # a whole frame, and answers before it are still unread
                start = self._answers_size
                size = 12 + int.from_bytes(self._unread[start + 4 : start + 8])
                del self._unread[start : start + size]

    async def _handshake_answer(self) -> bool:
        event = await self._answer()
        if event is None:
            self._nothing_came("no answer to the IMEI")
        if not isinstance(event, HandshakeAnswered):
            found = self._unread[:1].hex()
            raise Unexpected(f"the server answered the IMEI with {found}, not 01 or 00")
        self._read(event)
        return event.accepted

    async def _next_ack(self, wait_s: float | None = None) -> int | None:
        event = await self._answer(wait_s)
        if event is None:
            return None
        assert isinstance(event, PacketAcknowledged), event
        self._read(event)
        return event.accepted

    async def _answer(self, wait_s: float | None = None) -> DeviceEvent | None:
        """The next answer, or None where none came in time or before the server closed."""
        now = asyncio.get_running_loop().time
        deadline = now() + (self._patience.answer_s if wait_s is None else wait_s)
        while not self._events:
            if self.closed_by_server or not await self._change(
                min(deadline, now() + self._patience.quiet_s)
            ):
                self._took(self._answers.settle() + self._answers.receive_data(b""))
                if not self._events and (self.closed_by_server or now() >= deadline):
                    return None
        return self._events.popleft()

    def _read(self, answer: DeviceEvent) -> None:
        size = _size(answer)
        self._answers_size -= size
        del self._unread[:size]

    def _floods(self) -> bool:
        return self._received > FLOOD_BYTES

    async def _change(self, deadline: float) -> bool:
        """Wait for bytes or the end of the connection; False when the deadline came first.

        Raises Unexpected where the bytes come without end.
        """
        if self._floods():
            raise Unexpected(f"the server sent more than {FLOOD_BYTES:,} bytes, and went on")
        try:
            async with asyncio.timeout_at(deadline):
                await self._changed.wait()
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    def _nothing_came(self, what: str) -> NoReturn:
        if self.closed_by_server:
            raise Unexpected(f"{what}: the server closed the connection")
        if self._unread:
            found = shown_bytes(bytes(self._unread))
            raise Unexpected(f"{what} in {self._patience.answer_s:g} s, but {found}")
        raise Unexpected(f"{what} in {self._patience.answer_s:g} s")


def _size(answer: DeviceEvent) -> int:
    return 4 if isinstance(answer, PacketAcknowledged) else 1
