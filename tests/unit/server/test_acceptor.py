"""The port takes connections in, and strangers more slowly than devices."""

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import cast

import pytest

from teltonika.server.acceptor import MOST_STRANGERS, Acceptor
from teltonika.server.addresses import Peer
from teltonika.server.background import background
from teltonika.server.connection_limits import ConnectionLimits
from teltonika.server.counters import Counters
from teltonika.server.handshake_turns import HandshakeTurns
from teltonika.server.peer_log import PeerLog
from teltonika.server.session import Session


class Taken(asyncio.Protocol):
    """In place of a session: it knows when it was taken in."""

    opened = True

    def __init__(self) -> None:
        self.at: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.at.set_result(time.monotonic())
        transport.close()


class Port:
    """An acceptor that runs, and connections to it."""

    def __init__(self, stranger_pause_s: float) -> None:
        counters = Counters()
        self._taken: asyncio.Queue[Taken] = asyncio.Queue()
        self.acceptor = Acceptor(
            self._make_session,
            ConnectionLimits(100, 0, counters),
            PeerLog(0, counters),
            counters,
            tls=None,
            proxy_protocol=False,
            handshake_timeout_s=10.0,
            turns=HandshakeTurns(0, counters),
            stranger_pause_s=stranger_pause_s,
        )
        self._port = self.acceptor.bind("127.0.0.1", 0)
        self.acceptor.listen()

    def _make_session(self, peer: Peer) -> Session:
        session = Taken()
        self._taken.put_nowait(session)
        return cast(Session, session)

    async def connected(self) -> float:
        """When one more connection was taken in."""
        with socket.create_connection(("127.0.0.1", self._port)):
            return await (await self._taken.get()).at


@contextlib.asynccontextmanager
async def port(stranger_pause_s: float) -> AsyncIterator[Port]:
    running = Port(stranger_pause_s)
    async with background(running.acceptor.run()):
        yield running


@pytest.mark.parametrize("strangers", [1, 3])
async def test_after_strangers_the_next_but_one_waits(strangers: int) -> None:
    """The next is awaited already."""
    async with port(stranger_pause_s=0.1) as running:
        await running.connected()
        for _ in range(strangers):
            running.acceptor.stranger_left()
        first = await running.connected()
        assert await running.connected() - first >= 0.1 * strangers


async def test_without_strangers_nobody_waits() -> None:
    async with port(stranger_pause_s=3_600.0) as running:
        for _ in range(3):
            await running.connected()


async def test_after_many_strangers_nobody_waits_longer_than_after_some() -> None:
    async with port(stranger_pause_s=0.01) as running:
        await running.connected()
        for _ in range(1_000 * MOST_STRANGERS):
            running.acceptor.stranger_left()
        for _ in range(2):
            await running.connected()
