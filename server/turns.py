"""Connections that have more to work off than one turn of the event loop allows.

The first turn of what was read is taken at once, which is all that a device needs. What is left of
it waits here, and the socket is not read meanwhile. In each turn of the loop one of those that wait
has a turn: so however many flood the server, and however fast, the others have the rest of it.
Where many have more than one frame at once, their first turns have one each.
"""

import asyncio
from collections import deque
from typing import Protocol

TURN_EVENTS = 16
"""Frames of one connection that are worked off in a turn."""
FIRST_TURNS_EVENTS = 256
"""Of all connections' first turns together, in one turn of the event loop; then one frame each."""


class TakesTurns(Protocol):
    """A connection."""

    def take_turn(self) -> None:
        """Work off what one turn allows; whatever is left after it waits anew."""


class Turns:
    """All that wait, in the order in which they came."""

    def __init__(self) -> None:
        self._call_soon = asyncio.get_running_loop().call_soon
        self._waiting: deque[TakesTurns] = deque()
        self._spent = 0
        self.most_events = TURN_EVENTS
        """Frames that a first turn may work off now."""

    def __len__(self) -> int:
        return len(self._waiting)

    def wait(self, connection: TakesTurns) -> None:
        """Call its ``take_turn`` in a later turn of the loop; not again before that has come."""
        self._waiting.append(connection)
        if len(self._waiting) == 1:
            self._call_soon(self._next)

    def spend(self, events: int) -> None:
        """So many were worked off in one turn of a connection."""
        if not self._spent:
            self._call_soon(self._begin_anew)
        self._spent += events
        if self._spent >= FIRST_TURNS_EVENTS:
            self.most_events = 1

    def _begin_anew(self) -> None:
        self._spent = 0
        self.most_events = TURN_EVENTS

    def _next(self) -> None:
        connection = self._waiting[0]
        try:
            connection.take_turn()
        finally:
            self._waiting.popleft()
            if self._waiting:
                self._call_soon(self._next)
