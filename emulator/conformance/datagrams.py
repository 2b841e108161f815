"""A UDP socket: datagrams to the server, and what it answers."""

import asyncio
from typing import cast

from teltonika.emulator.conformance.device_socket import FLOOD_BYTES, Unexpected
from teltonika.emulator.conformance.patience import Patience
from teltonika.emulator.conformance.transcript import Speaker, Transcript, shown_bytes


class DatagramSocket(asyncio.DatagramProtocol):
    """Connected to one address: nothing else gets in."""

    def __init__(self, patience: Patience, transcript: Transcript) -> None:
        self._patience = patience
        self._transcript = transcript
        self._number = transcript.connected()
        self._received: asyncio.Queue[bytes] = asyncio.Queue()
        self._size = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._floods():
            return
        self._transcript.add(self._number, Speaker.SERVER, data)
        self._received.put_nowait(data)
        self._size += len(data) + 1  # an empty one takes room as well

    def error_received(self, exc: Exception) -> None:
        self._transcript.add(self._number, Speaker.SERVER, note=str(exc))

    def send(self, datagram: bytes) -> None:
        self._transcript.add(self._number, Speaker.DEVICE, datagram)
        self._transport.sendto(datagram)

    async def answer(self, wait_s: float | None = None) -> bytes | None:
        """The next datagram, or None where none came in time. Raises Unexpected where they come
        without end."""
        if self._floods():
            raise Unexpected(f"the server sent more than {FLOOD_BYTES:,} bytes, and went on")
        try:
            async with asyncio.timeout(self._patience.answer_s if wait_s is None else wait_s):
                return await self._received.get()
        except TimeoutError:
            return None

    async def expect_answer(self, expected: bytes) -> None:
        """Exactly these bytes next."""
        found = await self.answer()
        if found is None:
            raise Unexpected(f"no answer in {self._patience.answer_s:g} s")
        if found != expected:
            raise Unexpected(f"the server answered {shown_bytes(found)}, not {expected.hex()}")

    def _floods(self) -> bool:
        return self._size > FLOOD_BYTES
