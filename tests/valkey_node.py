"""A Valkey of several: it listens on TCP, and the others reach it through a gate, if it has one."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import redis
from free_ports import free_port
from own_valkey import OwnValkey

T = TypeVar("T")
PATIENCE_S = 60.0
PAUSE_S = 0.01


def until(happened: Callable[[], bool], what: str) -> None:
    """Ask until it is so. Others need the processor meanwhile, so there is a pause between."""
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, f"{what}: not in {PATIENCE_S:g} s"
        time.sleep(PAUSE_S)


class Node(OwnValkey):
    """``announced`` is the port at which clients and the other nodes find it."""

    def __init__(self, directory: Path, *options: str, port: int | None = None) -> None:
        directory.mkdir(parents=True)
        super().__init__(directory)
        self.port = port or free_port()
        self.announced = self.port
        self.options = ["--bind", "127.0.0.1", "--port", str(self.port), *options]

    def launch(self, *options: str) -> None:
        super().launch(*self.options, *options)

    @property
    def tcp_url(self) -> str:
        return f"redis://127.0.0.1:{self.announced}"

    @property
    def is_running(self) -> bool:
        return self.process is not None

    @property
    def name(self) -> str:
        return self.directory.name

    def info(self, section: str) -> dict[str, str]:
        found = self._asked(lambda client: client.info(section))
        return {name: str(value) for name, value in found.items()}

    def ask(self, *command: str | int) -> object:
        """One command, on the socket that no gate closes."""
        return self._asked(lambda client: client.execute_command(*command))

    def _asked(self, question: Callable[[redis.Redis], T]) -> T:
        """Twice, if need be: who makes a node a replica closes every connection to it."""
        try:
            with self.client() as client:
                return question(client)
        except redis.ConnectionError:
            with self.client() as client:
                return question(client)

    def drop_clients(self) -> int:
        """Redis closes every connection but those of replicas; how many there were."""
        with self.client() as client:
            return int(client.client_kill_filter(_type="normal", skipme=True))


def answers(client: redis.Redis) -> bool:
    """Whether somebody is there."""
    try:
        return bool(client.ping())
    except redis.RedisError:
        return False
