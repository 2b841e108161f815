"""How many connections may be in the handshake before a session, TLS or a balancer's header.

What has not said who it is yet costs the most memory then. Further ones wait, unread. One address
has a quarter of the turns at most, so that it cannot keep the others out; those that wait take
turns by address.
"""

import asyncio
import contextlib
from collections import Counter, OrderedDict, deque
from collections.abc import AsyncIterator

import structlog

from teltonika.server.counters import Counters

log = structlog.get_logger()

PARTS = 4
"""One address has one of so many at most."""


class HandshakeTurns:
    """`turn` for the length of a handshake. A ``total`` of 0 means no limit."""

    def __init__(self, total: int, counters: Counters) -> None:
        self._total = total
        self._per_address = max(1, total // PARTS)
        self._counters = counters
        self._under_way: Counter[str | None] = Counter()
        self._number = 0
        """How many handshakes are under way."""
        self._is_logged = False
        self._waiting: OrderedDict[str | None, deque[asyncio.Future[None]]] = OrderedDict()
        """By address, the one first whose turn is longest ago."""

    @contextlib.asynccontextmanager
    async def turn(self, address: str | None) -> AsyncIterator[None]:
        """Wait until there is room. ``address`` is None for a balancer, which has no part."""
        if self._waiting.get(address) or not self._has_room(address):
            await self._wait(address)
        else:
            self._enter(address)
        try:
            yield
        finally:
            self._leave(address)

    def _has_room(self, address: str | None) -> bool:
        if not self._total:
            return True
        is_full = address is not None and self._under_way[address] >= self._per_address
        return not is_full and self._number < self._total

    async def _wait(self, address: str | None) -> None:
        self._counters.waited_for_max_handshakes += 1
        if not self._is_logged:
            self._is_logged = True
            log.warning("handshakes_wait", limit="--max-handshakes", under_way=self._number)
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(address, deque()).append(waiter)
        try:
            await waiter
        except asyncio.CancelledError:
            if waiter.cancelled():
                self._forget(address, waiter)
            else:
                self._leave(address)  # its turn had come
            raise

    def _forget(self, address: str | None, waiter: asyncio.Future[None]) -> None:
        waiting = self._waiting.get(address, deque())
        with contextlib.suppress(ValueError):
            waiting.remove(waiter)
        if not waiting:
            self._waiting.pop(address, None)

    def _enter(self, address: str | None) -> None:
        self._number += 1
        self._under_way[address] += 1

    def _leave(self, address: str | None) -> None:
        self._number -= 1
        self._under_way[address] -= 1
        if not self._under_way[address]:
            del self._under_way[address]
        self._next()

    def _next(self) -> None:
        """Give every turn that is free to one that waits for it."""
        while self._number < self._total:
            # few addresses can have all of their turns, so this finds one soon
            address = next((one for one in self._waiting if self._has_room(one)), _NOBODY)
            if address is _NOBODY:
                return
            waiting = self._waiting.pop(address)
            waiter = waiting.popleft()
            if waiting:
                self._waiting[address] = waiting
            if not waiter.done():  # else it was cancelled, and has not run since
                self._enter(address)
                waiter.set_result(None)


_NOBODY = ""
"""No address is empty."""
