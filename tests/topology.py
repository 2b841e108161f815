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

import redis
from gates import Gates, address_of
from redis.cluster import RedisCluster
from valkey_node import Node


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

    def client(self) -> redis.Redis | RedisCluster:
        """redis-py's own, that finds primaries by itself."""
        raise NotImplementedError

    def primaries(self) -> list[Node]:
        raise NotImplementedError

    def launch(self) -> None:
        """Start every process and make them one."""
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
    def cut_off(self, node: Node) -> Iterator[None]:
        """The others do not reach it, nor it them; clients do. Needs gates."""
        assert self.gated
        own = self.address(node)
        with self.gates.partition({own}, self._addresses() - {own}):
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
