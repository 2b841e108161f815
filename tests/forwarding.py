"""Connections that are led on from one place to another, and what is done to them on the way.

`RedisProxy` stands between the servers and their Redis; the campaign's balancer, between devices
and servers, is another `Forwarder`.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from random import Random
from typing import Any

PIECE = 65_536
TICK_S = 0.05
"""A throttled connection gets its bytes in portions, so far apart."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Way(Enum):
    IN = "in"
    """From whoever connected to whom it leads to."""
    OUT = "out"


@dataclass(eq=False)
class Line:
    """One connection that is led on: two of them, in truth."""

    outer: Streams
    inner: Streams
    name: str = ""
    """Where it leads."""
    imei: str = ""
    cut_next_reply: bool = False
    half_open: bool = False
    """Who connected is gone, or goes; the other side is not told."""
    hears: bool = False
    """Half-open in two steps: what comes out is led on until something comes in."""
    held: bytes = b""
    """What came in meanwhile, and was not led on."""
    inner_closed: asyncio.Event = field(default_factory=asyncio.Event)

    def abort(self) -> None:
        for _, writer in (self.outer, self.inner):
            writer.transport.abort()

    def close(self) -> None:
        """What was written still goes out."""
        for _, writer in (self.outer, self.inner):
            writer.close()


class Forwarder:
    """Leads connections on. What becomes of a piece of bytes, a subclass or an attribute says."""

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.lines: set[Line] = set()
        self.delay_s = 0.0
        """Each piece comes late by up to so much."""
        self.bytes_per_s = 0.0
        """0 is as fast as can be."""
        self.hindered = 0
        """Pieces that were late or throttled."""
        self.broken: Counter[Way] = Counter()
        """Connections that were cut within a piece, by the way that went."""
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def lead(self, outer: Streams) -> tuple[Line, bytes] | None:
        """Open what a new connection leads to, and say what of it was read already."""
        raise NotImplementedError

    def breaks(self, line: Line, way: Way) -> bool:
        """Whether the connection is to be cut within this piece."""
        raise NotImplementedError

    async def hold(self, line: Line) -> None:
        """Keep the inner side of a half-open line, until it is to be closed, too."""
        raise NotImplementedError

    @contextlib.asynccontextmanager
    async def serving(self, path: Path | None = None) -> AsyncIterator[int]:
        """Accept connections to a unix socket, or to a port, which is told.

        In the end every connection is closed.
        """
        if path is None:
            server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        else:
            server = await asyncio.start_unix_server(self._accept, path)
        try:
            yield 0 if path is not None else int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            await asyncio.sleep(0)  # what was accepted a moment ago has its task now
            while self._tasks:
                for writer in list(self._writers):
                    writer.transport.abort()
                await asyncio.gather(*self._tasks)
            await server.wait_closed()

    def cut_all(self) -> int:
        """Abort every connection that is not half-open; how many there were."""
        whole = [line for line in self.lines if not line.half_open]
        for line in whole:
            line.abort()
        return len(whole)

    @contextlib.asynccontextmanager
    async def opened(self, streams: Streams) -> AsyncIterator[None]:
        """Abort the connection in the end, whatever happens."""
        _, writer = streams
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    # --------------------------------------------------------------------------------------

    def _accept(self, *outer: Any) -> None:
        self._begin(self._carry(outer))

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _carry(self, outer: Streams) -> None:
        async with self.opened(outer):
            try:
                found = await self.lead(outer)
            except (OSError, asyncio.IncompleteReadError):  # nobody is there
                return
            if found is None:
                return
            line, first = found
            async with self.opened(line.inner):
                self.lines.add(line)
                try:
                    async with asyncio.TaskGroup() as group:
                        group.create_task(self._pump(line, Way.OUT))
                        group.create_task(self._pump(line, Way.IN, first))
                finally:
                    self.lines.discard(line)

    async def _pump(self, line: Line, way: Way, data: bytes = b"") -> None:
        (reader, _), (_, writer) = (
            (line.outer, line.inner) if way is Way.IN else (line.inner, line.outer)
        )
        with contextlib.suppress(OSError):
            data = data or await reader.read(PIECE)
            while data:
                if line.half_open and not (line.hears and way is Way.OUT):
                    line.held += data if way is Way.IN else b""
                    line.hears = line.hears and not line.held
                elif self.breaks(line, way):
                    self.broken[way] += 1
                    writer.write(data[: self.rng.randrange(len(data))])
                    break
                else:
                    await self._pass_on(data, writer)
                data = await reader.read(PIECE)
        if way is Way.OUT:
            line.inner_closed.set()
        elif line.half_open:
            with contextlib.suppress(OSError):
                await self.hold(line)
        line.close()

    async def _pass_on(self, data: bytes, writer: asyncio.StreamWriter) -> None:
        self.hindered += bool(self.delay_s or self.bytes_per_s)
        if self.delay_s:
            await asyncio.sleep(self.rng.uniform(0, self.delay_s))
        while data:
            throttled = self.bytes_per_s > 0
            size = max(1, int(self.bytes_per_s * TICK_S)) if throttled else len(data)
            writer.write(data[:size])
            await writer.drain()
            data = data[size:]
            if throttled:
                await asyncio.sleep(TICK_S)


class RedisProxy(Forwarder):
    """Between the servers and the unix socket of their Redis."""

    def __init__(self, rng: Random, redis_socket: Path) -> None:
        super().__init__(rng)
        self._redis_socket = redis_socket

    async def lead(self, outer: Streams) -> tuple[Line, bytes]:
        inner = await asyncio.open_unix_connection(self._redis_socket)
        return Line(outer, inner), b""

    def breaks(self, line: Line, way: Way) -> bool:
        return line.cut_next_reply and way is Way.OUT

    def cut_next_replies(self) -> None:
        """Each connection that stands is cut within the next reply that comes on it."""
        for line in self.lines:
            line.cut_next_reply = True
