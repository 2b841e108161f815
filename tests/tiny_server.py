"""A server of a few lines that answers devices by a script, rightly or wrongly."""

import asyncio
import ssl
from collections.abc import Sequence
from enum import Enum, auto
from types import TracebackType
from typing import Self, cast

from teltonika.codecs import (
    AvlPacketReceived,
    AvlRecord,
    CommandMessage,
    CommandResponseReceived,
    ImeiReceived,
    ServerConnection,
)

IMEI_SIZE = 17


class Answer(Enum):
    """What the server does about one IMEI or packet."""

    RIGHT = auto()
    WRONG = auto()
    """Reject the IMEI; acknowledge one record too many."""
    SILENCE = auto()
    HANG_UP = auto()


class Received:
    """What came on one connection."""

    def __init__(self) -> None:
        self.imei = ""
        self.packets: list[bytes] = []
        self.records: list[AvlRecord] = []
        self.messages: list[CommandMessage] = []
        self.closed = asyncio.Event()


class TinyServer:
    """``async with TinyServer(script, …) as server``: one script for each connection in turn.

    A script's first answer is to the IMEI, the others to packets; where it ends, and on connections
    past the last script, every answer is RIGHT. ``hang_up_inside`` closes connection number so
    many as soon as the first bytes of a packet came. With an ``ssl`` context it speaks TLS.
    """

    def __init__(
        self,
        *scripts: Sequence[Answer],
        port: int = 0,
        hang_up_inside: int | None = None,
        ssl: ssl.SSLContext | None = None,
    ) -> None:
        self.port = port
        self.connections: list[Received] = []
        self.hang_up_inside = hang_up_inside
        self.packet_came = asyncio.Event()
        self._scripts = scripts
        self._ssl = ssl
        self._transports: list[asyncio.Transport] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            lambda: _Session(self), "127.0.0.1", self.port, ssl=self._ssl
        )
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        for transport in self._transports:
            transport.abort()
        for received in self.connections:
            await received.closed.wait()
        await self._server.wait_closed()

    async def drop(self) -> None:
        """Close every connection that stands."""
        for transport in self._transports:
            transport.close()
        for received in self.connections:
            await received.closed.wait()

    @property
    def packets(self) -> list[list[bytes]]:
        """The packets of each connection."""
        return [received.packets for received in self.connections]

    def answered(self) -> None:
        """Called behind each answer."""

    def opened(self, transport: asyncio.Transport) -> tuple[Received, list[Answer]]:
        number = len(self.connections)
        self._transports.append(transport)
        self.connections.append(Received())
        script = list(self._scripts[number]) if number < len(self._scripts) else []
        return self.connections[-1], script


class _Session(asyncio.Protocol):
    def __init__(self, server: TinyServer) -> None:
        self._server = server
        self._connection = ServerConnection()
        self._raw = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's over TLS is no subclass
        self._received, self._script = self._server.opened(transport)
        self._number = len(self._server.connections)

    def connection_lost(self, exc: Exception | None) -> None:
        self._received.closed.set()

    def data_received(self, data: bytes) -> None:
        self._raw += data
        if len(self._raw) > IMEI_SIZE and self._server.hang_up_inside == self._number:
            self._transport.abort()
            return
        for event in self._connection.receive_data(data):
            if isinstance(event, ImeiReceived):
                self._received.imei = event.imei
                self._raw = self._raw[IMEI_SIZE:]
                self._answer(b"\x01", b"\x00")
            elif isinstance(event, AvlPacketReceived):
                size = 8 + int.from_bytes(self._raw[4:8]) + 4
                self._received.packets.append(self._raw[:size])
                self._raw = self._raw[size:]
                self._received.records += event.packet.records
                self._server.packet_came.set()
                count = len(event.packet.records)
                self._answer(count.to_bytes(4), (count + 1).to_bytes(4))
            elif isinstance(event, CommandResponseReceived):
                self._raw = self._raw[8 + int.from_bytes(self._raw[4:8]) + 4 :]
                self._received.messages.append(event.message)
            else:
                raise AssertionError(event)  # noqa: TRY004 - not a type: a device gone wrong

    def _answer(self, right: bytes, wrong: bytes) -> None:
        match self._script.pop(0) if self._script else Answer.RIGHT:
            case Answer.RIGHT:
                self._transport.write(right)
            case Answer.WRONG:
                self._transport.write(wrong)
            case Answer.HANG_UP:
                self._transport.close()
        self._server.answered()
