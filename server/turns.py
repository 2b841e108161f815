"""Connections that have more to work off than one turn of the event loop allows.

The first turn of what was read is taken at once, which is all that a device needs. What is left of
it waits here, and the socket is not read meanwhile. In each turn of the loop one of those that wait
has a turn: so however many flood the server, and however fast, the others have the rest of it.
"""

import asyncio
from collections import deque
from typing import Protocol


class TakesTurns(Protocol):
    """A connection."""

    def take_turn(self) -> None:
        """Work off what one turn allows; whatever is left after it waits anew."""


class Turns:
    """All that wait, in the order in which they came."""

    def __init__(self) -> None:
        self._call_soon = asyncio.get_running_loop().call_soon
        self._waiting: deque[TakesTurns] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, connection: TakesTurns) -> None:
        """Call its ``take_turn`` in a later turn of the loop; not again before that has come."""
        self._waiting.append(connection)
        if len(self._waiting) == 1:
            self._call_soon(self._next)

    def _next(self) -> None:
        connection = self._waiting[0]
        try:
            connection.take_turn()
        finally:
            self._waiting.popleft()
            if self._waiting:
                self._call_soon(self._next)
