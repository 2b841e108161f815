"""A fault campaign: devices that know what they sent, and everything around them killed.

`python tests/e2e/campaign.py --minutes 30 --seed 7` runs a long one and prints its table;
test_campaign.py runs a short one. Two instances share a Valkey (fsync on every write); the devices
reach either of them through a balancer that breaks connections in the middle of packets and ACKs.
Afterwards the stream is compared with what the devices know: every acknowledged record stands on it
exactly once, and whatever stands on it was sent.
"""

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from random import Random

import redis

sys.path.append(str(Path(__file__).parents[1]))

from own_valkey import OwnValkey
from serving import STREAM, ServerProcess

from teltonika.codecs import AVL_CODECS, AvlPacket, decode_packet, luhn_check_digit
from teltonika.codecs.timestamps import format_timestamp
from teltonika.emulator import (
    Device,
    DeviceLink,
    DeviceObserver,
    Drive,
    EmulatorSettings,
    assemble_device,
)

DEVICES = 12
INSTANCES = ("a", "b")
BREAK_EVERY = 400
"""About one in so many pieces of a connection's bytes is cut, and the connection with it."""
Record = tuple[str, str]
"""IMEI and timestamp; a device's records have a timestamp each."""


class Balancer:
    """A port that leads to either instance, and breaks connections now and then."""

    def __init__(self, rng: Random) -> None:
        self.ports: dict[str, int] = {}
        self.broken = 0
        self._rng = rng
        self._writers: set[asyncio.StreamWriter] = set()
        self._connections: set[asyncio.Task[None]] = set()

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[int]:
        """Its port; in the end every connection is closed."""
        server = await asyncio.start_server(self._connect, "127.0.0.1", 0)
        try:
            yield int(server.sockets[0].getsockname()[1])
        finally:
            server.close()
            self.cut_all()
            await asyncio.gather(*self._connections)
            await server.wait_closed()

    def cut_all(self) -> None:
        for writer in self._writers:
            writer.transport.abort()

    def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = asyncio.create_task(self._carry(reader, writer))
        self._connections.add(connection)
        connection.add_done_callback(self._connections.discard)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        async with self._open(writer):
            try:
                port = self._rng.choice(sorted(self.ports.values()))
                inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
            except (OSError, IndexError):  # no instance is there
                return
            async with self._open(inner_writer), asyncio.TaskGroup() as group:
                both = (writer, inner_writer)
                group.create_task(self._pump(reader, inner_writer, both))
                group.create_task(self._pump(inner_reader, writer, both))

    @contextlib.asynccontextmanager
    async def _open(self, writer: asyncio.StreamWriter) -> AsyncIterator[None]:
        self._writers.add(writer)
        try:
            yield
        finally:
            self._writers.discard(writer)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        both: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65_536):
                if self._rng.randrange(BREAK_EVERY) == 0:
                    self.broken += 1
                    writer.write(data[: self._rng.randrange(len(data))])
                    await writer.drain()
                    break
                writer.write(data)
                await writer.drain()
        for one in both:
            one.close()


class Witness(DeviceObserver):
    """Knows what was acknowledged."""

    def __init__(self) -> None:
        self.acknowledged_records: list[Record] = []

    def acknowledged(self, device: Device, packet: bytes, latency_s: float) -> None:
        decoded = decode_packet(packet)
        assert isinstance(decoded, AvlPacket)
        self.acknowledged_records += (
            (device.imei, format_timestamp(record.timestamp_ms)) for record in decoded.records
        )


@dataclass
class Report:
    seed: int
    seconds: float
    sent: int = 0
    acknowledged: int = 0
    stored: int = 0
    lost: int = 0
    doubled: int = 0
    unsent: int = 0
    """Stored and never sent."""
    faults: Counter[str] = field(default_factory=Counter)

    def __str__(self) -> str:
        faults = ", ".join(f"{name} {count}" for name, count in sorted(self.faults.items()))
        return (
            f"seed {self.seed}, {self.seconds:g} s, {DEVICES} devices, "
            f"{len(INSTANCES)} instances\n"
            f"records sent {self.sent}, acknowledged {self.acknowledged}, stored {self.stored}\n"
            f"lost {self.lost}, doubled {self.doubled}, stored and never sent {self.unsent}\n"
            f"faults {self.faults.total()}: {faults}"
        )


class Campaign:
    """Everything that runs, and the faults that are done to it."""

    def __init__(self, directory: Path, seconds: float, seed: int) -> None:
        self.report = Report(seed, seconds)
        self._directory = directory
        self._rng = Random(seed)
        self._valkey = OwnValkey(directory)
        self._servers: dict[str, ServerProcess] = {}
        self._balancer = Balancer(Random(seed + 1))
        self._witness = Witness()

    async def run(self) -> Report:
        self._client = await asyncio.to_thread(self._valkey.start)
        for name in INSTANCES:
            await self._start(name)
        try:
            async with self._running_devices() as links:
                await self._faults()
                await self._all_running()
                for link in links:
                    link.stop()
            self._compare(links)
        finally:
            for name in list(self._servers):
                with self._dropped(name) as server:
                    await asyncio.to_thread(server.stop)
            self._client.close()
            self._valkey.kill()
        return self.report

    @contextlib.asynccontextmanager
    async def _running_devices(self) -> AsyncIterator[list[DeviceLink]]:
        links = []
        async with self._balancer.serving() as port, asyncio.TaskGroup() as group:
            for number in range(DEVICES):
                settings = device_settings(number, port, self.report.seed)
                device = assemble_device(imei_of(number), settings, 0)
                links.append(DeviceLink(device, settings, Random(number), self._witness))
                group.create_task(links[-1].run())
            yield links

    async def _faults(self) -> None:
        kinds: dict[str, Callable[[], Coroutine[None, None, None]]] = {
            "server killed": self._kill_server,
            "server stopped and started": self._restart_server,
            "server paused": self._pause_server,
            "valkey killed": self._kill_valkey,
            "server and valkey killed": self._kill_both,
            "valkey paused": self._pause_valkey,
            "connections to redis cut": self._cut_redis,
            "connections of devices cut": self._cut_devices,
        }
        loop = asyncio.get_running_loop()
        end = loop.time() + self.report.seconds
        order: list[str] = []
        while loop.time() < end:
            order = order or self._rng.sample(sorted(kinds), len(kinds))
            name = order.pop()
            await asyncio.sleep(self._rng.uniform(0.2, 1.5))
            await kinds[name]()
            self.report.faults[name] += 1
        self.report.faults["connections broken in mid-packet or mid-ack"] = self._balancer.broken

    # -- faults ----------------------------------------------------------------------------

    async def _kill_server(self) -> None:
        name = self._rng.choice(INSTANCES)
        with self._dropped(name) as server:
            server.kill()
        await self._start(name)

    async def _restart_server(self) -> None:
        name = self._rng.choice(INSTANCES)
        with self._dropped(name) as server:
            assert await asyncio.to_thread(server.stop) == 0
        await self._start(name)

    async def _pause_server(self) -> None:
        process = self._servers[self._rng.choice(INSTANCES)].process
        process.send_signal(signal.SIGSTOP)
        await asyncio.sleep(self._rng.uniform(0.2, 2))
        process.send_signal(signal.SIGCONT)

    async def _kill_valkey(self) -> None:
        self._valkey.kill()
        await asyncio.sleep(self._rng.uniform(0, 1))
        await self._start_valkey()

    async def _kill_both(self) -> None:
        name = self._rng.choice(INSTANCES)
        with self._dropped(name) as server:
            server.kill()
        self._valkey.kill()
        await self._start_valkey()
        await self._start(name)

    async def _pause_valkey(self) -> None:
        self._valkey.signal(signal.SIGSTOP)
        await asyncio.sleep(self._rng.uniform(0.2, 3))
        self._valkey.signal(signal.SIGCONT)

    async def _cut_redis(self) -> None:
        await asyncio.to_thread(self._client.client_kill_filter, _type="normal", skipme=True)

    async def _cut_devices(self) -> None:
        self._balancer.cut_all()

    # --------------------------------------------------------------------------------------

    async def _start(self, name: str) -> None:
        options = ("--instance-id", name, "--stream-maxlen", "0", "--log-level", "warning")
        self._servers[name] = await asyncio.to_thread(
            ServerProcess, self._directory / name, *options, redis_url=self._valkey.url
        )
        self._balancer.ports[name] = self._servers[name].port

    @contextlib.contextmanager
    def _dropped(self, name: str) -> Iterator[ServerProcess]:
        """An instance that devices are led to no more, to be ended."""
        del self._balancer.ports[name]
        with self._servers.pop(name) as server:
            yield server

    async def _start_valkey(self) -> None:
        self._client.close()
        self._client = await asyncio.to_thread(self._valkey.start)

    async def _all_running(self) -> None:
        for name in INSTANCES:
            assert self._servers[name].process.poll() is None, self._servers[name].log_text()

    def _compare(self, links: list[DeviceLink]) -> None:
        report = self.report
        acknowledged = set(self._witness.acknowledged_records)
        sent = {
            record
            for number, link in enumerate(links)
            for record in records_of(number, link, report.seed)
        }
        stored = Counter(stored_records(self._client))
        report.sent, report.acknowledged = len(sent), len(acknowledged)
        report.stored = stored.total()
        report.lost = len(acknowledged - stored.keys())
        report.doubled = sum(count - 1 for count in stored.values())
        report.unsent = len(stored.keys() - sent)


def imei_of(number: int) -> str:
    digits = f"35630704299{number:03d}"
    return f"{digits}{luhn_check_digit(digits)}"


def device_settings(number: int, port: int, seed: int) -> EmulatorSettings:
    codecs = list(AVL_CODECS)
    return EmulatorSettings(
        port=port,
        codec=codecs[number % len(codecs)],
        records=0,
        records_per_packet=1 + 5 * (number % 4),
        interval_s=0.02,
        seed=seed,
        start_ms=1_760_000_000_000,
        ack_timeout_s=3.0,
        give_up_after_s=3_600.0,
        first_retry_s=0.05,
        max_retry_s=0.5,
    )


def records_of(number: int, link: DeviceLink, seed: int) -> list[Record]:
    """Every record that the device has sent, as its drive makes them."""
    settings = device_settings(number, 1, seed)
    drive = Drive(
        Random(f"{settings.seed}/{link.device.imei}"),
        start_ms=settings.start_ms or 0,
        period_s=settings.period_s,
        generation_type=settings.codec.name == "16",
    )
    return [
        (link.device.imei, format_timestamp(record.timestamp_ms))
        for record in islice(drive, link.device.report.records_sent)
    ]


def stored_records(client: redis.Redis) -> list[Record]:
    found: list[Record] = []
    after = "-"
    while page := client.xrange(STREAM, min=after, count=10_000):
        found += ((fields["device_id"], fields["ts"]) for _, fields in page)
        after = f"({page[-1][0]}"
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="teltonika-campaign-") as directory:
        campaign = Campaign(Path(directory), 60 * arguments.minutes, arguments.seed)
        report = asyncio.run(campaign.run())
    print(report)
    sys.exit(bool(report.lost or report.doubled or report.unsent))


if __name__ == "__main__":
    main()
