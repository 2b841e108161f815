"""Gates between the nodes of a topology: whom one lets through, and what it does to the rest.

Every node connects from a loopback address of its own (`bind-source-addr`), so that a gate knows
one from another, and from clients.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator
from random import Random
from typing import Self, TypeVar

from forwarding import Forwarder, Line, Streams, Way

CLIENT = "127.0.0.1"
T = TypeVar("T")


def address_of(number: int) -> str:
    """Where the node of this number connects from."""
    return f"127.0.7.{number + 1}"


class Gate(Forwarder):
    """In front of one port of one node."""

    def __init__(self, rng: Random, owner: str, port: int) -> None:
        super().__init__(rng)
        self.owner = owner
        """The address that the node itself connects from."""
        self.port = 0
        self._leads_to = port
        self._shut_out: set[str] = set()

    async def lead(self, outer: Streams) -> tuple[Line, bytes] | None:
        source = str(outer[1].get_extra_info("peername")[0])
        if source in self._shut_out:
            return None
        inner = await asyncio.open_connection("127.0.0.1", self._leads_to)
        return Line(outer, inner, source), b""

    def breaks(self, line: Line, way: Way) -> bool:
        return line.cut_next_reply and way is Way.OUT

    def shut_out(self, sources: set[str]) -> None:
        """Lead nobody on who comes from there, from now on."""
        self._shut_out = sources
        for line in self.lines:
            if line.name in sources:
                line.abort()

    def cut_clients(self) -> int:
        lines = [line for line in self.lines if line.name == CLIENT]
        for line in lines:
            line.abort()
        return len(lines)

    def cut_next_replies(self) -> None:
        for line in self.lines:
            line.cut_next_reply = line.name == CLIENT


class Gates:
    """All gates of a topology, on a thread of their own: tests block."""

    def __init__(self, seed: int = 0) -> None:
        self.all: list[Gate] = []
        self._seed = seed
        self._stack = contextlib.AsyncExitStack()

    def __enter__(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._turn)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            asyncio.run_coroutine_threadsafe(self._stack.aclose(), self._loop).result(30)
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()

    def _turn(self) -> None:
        self._loop.run_forever()
        self._loop.run_until_complete(asyncio.sleep(0))  # what was aborted last is closed now
        self._loop.close()

    def open(self, owner: str, port: int) -> int:
        """A gate in front of a port; its own port."""
        gate = Gate(Random(f"{self._seed}/{owner}/{port}"), owner, port)
        serving = self._stack.enter_async_context(gate.serving())
        gate.port = asyncio.run_coroutine_threadsafe(serving, self._loop).result(30)
        self.all.append(gate)
        return gate.port

    @contextlib.contextmanager
    def partition(self, one_side: set[str], other_side: set[str]) -> Iterator[None]:
        """Nobody of one side reaches the other; who is on neither reaches both."""
        self._on_loop(lambda gate: gate.shut_out(_far_side(gate.owner, one_side, other_side)))
        try:
            yield
        finally:
            self._on_loop(lambda gate: gate.shut_out(set()))

    def cut_clients(self) -> int:
        return sum(self._on_loop(Gate.cut_clients))

    def cut_next_replies(self) -> None:
        self._on_loop(Gate.cut_next_replies)

    @property
    def broken(self) -> int:
        """Connections that were cut in the middle of a reply."""
        return sum(gate.broken[Way.OUT] for gate in self.all)

    def _on_loop(self, act: Callable[[Gate], T]) -> list[T]:
        async def on_all() -> list[T]:
            return [act(gate) for gate in self.all]

        return asyncio.run_coroutine_threadsafe(on_all(), self._loop).result(30)


def _far_side(owner: str, one_side: set[str], other_side: set[str]) -> set[str]:
    if owner in one_side:
        return other_side
    return one_side if owner in other_side else set()
