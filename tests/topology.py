"""Several Valkeys as processes on loopback: a `Cluster`, or one with replicas and `Sentinels`.

With ``gated`` every connection to a node leads through a gate, so that nodes can be cut off from
each other while clients reach them. Without it a node that is paused (SIGSTOP) is a partition of
one, from everybody.
"""

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from gates import CLIENT, Gates, address_of
from valkey_node import Node

from teltonika.server.clients import Client, blocking_client


class Topology:
    """What both have: nodes, gates between them, an end."""

    def __init__(self, directory: Path, *, gated: bool) -> None:
        self.directory = directory
        self.nodes: list[Node] = []
        self.gates = Gates()
        self.gated = gated
        self._stack = contextlib.ExitStack()

    @property
    def url(self) -> str:
        """For `--redis`."""
        raise NotImplementedError

    def client(self) -> Client:
        """redis-py's own, that finds primaries by itself."""
        return blocking_client(self.url, decode_responses=True)

    def primaries(self) -> list[Node]:
        raise NotImplementedError

    def primary_of(self, place: str | int) -> Node:
        """The one that has a key, or a slot."""
        raise NotImplementedError

    def launch(self) -> None:
        """Start every process and make them one."""
        raise NotImplementedError

    def replaced(self, primary: Node) -> contextlib.AbstractContextManager[None]:
        """What the body does to a primary makes the others promote one of them instead.

        Returns when all of them know.
        """
        raise NotImplementedError

    def start_again(self, node: Node) -> None:
        """It has its data, and follows whoever replaced it."""
        raise NotImplementedError

    def wait_until_whole(self) -> None:
        """All that run know who is a primary, and replicas have caught up."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        try:
            if self.gated:
                self._stack.enter_context(self.gates)
            self.launch()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End every process, paused ones too."""
        for node in self.nodes:
            node.kill()
        self._stack.close()

    @contextlib.contextmanager
    def paused(self, node: Node) -> Iterator[None]:
        """It neither answers nor closes anything."""
        node.signal(signal.SIGSTOP)
        try:
            yield
        finally:
            node.signal(signal.SIGCONT)

    @contextlib.contextmanager
    def cut_off(self, node: Node, *together: str) -> Iterator[None]:
        """The others do not reach it, nor it them; clients do. Needs gates.

        ``together``: addresses that are on its side.
        """
        assert self.gated
        own = {self.address(node), *together}
        with self.gates.partition(own, self._addresses() - own):
            yield

    @contextlib.contextmanager
    def unreachable(self, node: Node) -> Iterator[None]:
        """Nobody reaches it, nor it them: what is on its way is lost with it. Needs gates."""
        assert self.gated
        own = self.address(node)
        with self.gates.partition({own}, {CLIENT} | self._addresses() - {own}):
            yield

    def address(self, node: Node) -> str:
        return address_of(self.nodes.index(node))

    def _addresses(self) -> set[str]:
        return {self.address(node) for node in self.nodes}

    def _behind_gate(self, port: int, number: int) -> int:
        """The port at which others find this one."""
        return self.gates.open(address_of(number), port) if self.gated else port

    def _start(self, nodes: list[Node], *options: str) -> None:
        for node in nodes:
            node.launch(*options)
        for node in nodes:
            node.wait_until_ready().close()
