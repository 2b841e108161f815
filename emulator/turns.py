"""A server's bytes, worked off in turns of the event loop: no server has it to itself.

asyncio hands over all that a read gave, up to 256 KiB, and reads again at once. A server that sends
without end would so keep back every timer: the time-out that ends the run, Ctrl-C, other devices.
So one turn takes `TURN_BYTES`; the rest waits for the turns that follow, and nothing is read from
the socket meanwhile. What is held is at most what was read before the socket was paused.

Answers make bytes, too. While a server does not read what is written, a protocol whose reading
leads to writing calls `stop_taking`: then nothing more is read that would have to be answered.
"""

import asyncio
from typing import cast

TURN_BYTES = 2_048
"""Half a thousand ACKs."""


class TurnProtocol(asyncio.Protocol):
    """A connection that hands at most `TURN_BYTES` to `take_turn` in a turn of the loop.

    What is held when the connection ends is dropped.
    """

    __slots__ = ("_at", "_held", "_next_turn", "_source", "_takes_no_more")

    def __init__(self) -> None:
        self._source: asyncio.Transport | None = None
        self._held = b""
        self._at = 0  # what stands before it in `_held` had its turn
        self._next_turn: asyncio.Handle | None = None
        self._takes_no_more = False

    def take_turn(self, data: bytes) -> None:
        """The next bytes from the server. A subclass overrides it."""
        raise NotImplementedError

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._source = cast("asyncio.Transport", transport)  # uvloop's over TLS is no subclass

    def data_received(self, data: bytes) -> None:
        if self._held or self._takes_no_more:  # read before the pause, or by TLS in spite of it
            self._held = self._held[self._at :] + data
            self._at = 0
        elif len(data) <= TURN_BYTES:
            self.take_turn(data)
        else:
            self._held = data
            self._at = TURN_BYTES
            self._pause()
            self._have_next_turn()
            self.take_turn(data[:TURN_BYTES])

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_turn()
        self._held = b""
        self._at = 0
        self._source = None

    def stop_taking(self) -> None:
        """Read nothing more, and hand over nothing more, until `go_on_taking`."""
        self._takes_no_more = True
        self._pause()
        self._cancel_turn()

    def go_on_taking(self) -> None:
        """`stop_taking` holds no longer."""
        self._takes_no_more = False
        if self._held:
            self._have_next_turn()
        else:
            self._resume()

    def _turn(self) -> None:
        self._next_turn = None
        start, self._at = self._at, self._at + TURN_BYTES
        data = self._held[start : self._at]
        if self._at >= len(self._held):
            self._held = b""
            self._at = 0
            self._resume()
        else:
            self._have_next_turn()
        self.take_turn(data)

    def _have_next_turn(self) -> None:
        if self._next_turn is None:
            self._next_turn = asyncio.get_running_loop().call_soon(self._turn)

    def _cancel_turn(self) -> None:
        if self._next_turn is not None:
            self._next_turn.cancel()
            self._next_turn = None

    def _pause(self) -> None:
        if self._source is not None and not self._source.is_closing():
            self._source.pause_reading()

    def _resume(self) -> None:
        if self._source is not None and not self._source.is_closing():
            self._source.resume_reading()
