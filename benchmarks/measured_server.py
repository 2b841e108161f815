"""A server, its Valkey, and quiet devices on it: processes of their own, each measured apart."""

import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import hiredis
import redis

from benchmarks.ingest import KEYS, SHARD
from benchmarks.quiet_devices import Devices, Grown, running_devices
from benchmarks.senders import imei_of
from benchmarks.servers import running_server
from teltonika.server import Listening
from teltonika.server.redis_link import pack_command
from teltonika.server.scripts import OPEN_CONNECTION

FIRST_BARE = 500_000
"""The number of the first device that is none of the server's."""
REGISTRY_POLL_S = 0.002
REGISTERED_WITHIN_S = 30.0


@dataclass(frozen=True)
class Used:
    """Processor time in seconds, or in shares of one core."""

    server: float
    valkey: float

    def __add__(self, other: "Used") -> "Used":
        return Used(self.server + other.server, self.valkey + other.valkey)

    def __sub__(self, other: "Used") -> "Used":
        return Used(self.server - other.server, self.valkey - other.valkey)


class MeasuredServer:
    """A server, its Valkey, and the devices that are connected to it."""

    def __init__(self, listening: Listening, client: redis.Redis, devices: Devices) -> None:
        self.pid = listening.pid
        self.redis = client
        self._listening = listening
        self._valkey_pid = int(cast("dict[str, str]", client.info("server"))["process_id"])
        self._devices = devices
        self._connected = 0

    def grow(self, devices: int, at_a_time: int) -> Grown:
        """Until so many are connected in all, and the registry has each."""
        grown = self._devices.grow(devices, at_a_time)
        self._connected = devices
        until = time.perf_counter() + REGISTERED_WITHIN_S
        while not self._all_are_registered():
            assert time.perf_counter() < until, "the registry has not every device"
            time.sleep(REGISTRY_POLL_S)
        return grown

    def send(self, packets: list[bytes], seconds: float) -> None:
        """Each packet from another device."""
        self._devices.send(packets, seconds)

    def open_connections(self, count: int, at_a_time: int) -> float:
        """Seconds until Valkey has confirmed what the server asks of it for so many handshakes."""
        command = ("EVALSHA", OPEN_CONNECTION.sha, 1, SHARD.dedupe)
        commands = [
            pack_command(*command, imei_of(FIRST_BARE + number), bytes(8))
            for number in range(count)
        ]
        reader = hiredis.Reader()
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(urlsplit(self._listening.redis).path)
            start = time.perf_counter()
            for some in range(0, count, at_a_time):
                sent = commands[some : some + at_a_time]
                connection.sendall(b"".join(sent))
                missing = len(sent)
                while missing:
                    reader.feed(connection.recv(65_536))
                    while (reply := reader.gets()) is not False:
                        assert isinstance(reply, int), reply
                        missing -= 1
            return time.perf_counter() - start

    def used(self) -> Used:
        """Processor time in seconds, since each began."""
        return Used(processor_time(self.pid), processor_time(self._valkey_pid))

    def share(self, pass_time: Callable[[], None]) -> Used:
        """Of one core, meanwhile."""
        before, start = self.used(), time.perf_counter()
        pass_time()
        seconds, after = time.perf_counter() - start, self.used()
        assert self._all_are_registered(), "connections were lost"
        used = after - before
        return Used(used.server / seconds, used.valkey / seconds)

    def _all_are_registered(self) -> bool:
        return self.redis.hlen(KEYS.registry) == self._connected


@contextmanager
def measured_server(environment: Mapping[str, str] = {}) -> Iterator[MeasuredServer]:
    """``environment``: options, by their variables."""
    with (
        running_server(environment) as listening,
        running_devices(listening.port) as devices,
        redis.Redis.from_url(listening.redis, decode_responses=True) as client,
    ):
        yield MeasuredServer(listening, client, devices)


def processor_time(pid: int) -> float:
    """User's and system's, of all threads, as /proc/PID/stat has it, but in nanoseconds there."""
    return time.clock_gettime((~pid << 3) | _PROCESS_CLOCK)


_PROCESS_CLOCK = 2
"""CPUCLOCK_SCHED: with the process' id it makes Linux' clock of what a process has used."""
