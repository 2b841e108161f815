"""A server under all attacks at once, and honest devices that know what was acknowledged."""

import argparse
import asyncio
import contextlib
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import cast

import psutil
import redis.asyncio
from rich.console import Console
from rich.table import Table

sys.path += [str(Path(__file__).parents[1] / "e2e"), *map(str, Path(__file__).parents[1:3])]

from serving import STREAM, ServerProcess
from witness import Comparison, Record, WitnessedFleet, compare_records, imei_of

from benchmarks.hostile_clients import Counts, attacking, kinds

HELP = """\
One server; hostile connections of every kind at full speed, which come again when they are closed;
and honest devices. What is stored is read as it comes, as a consumer would, so that no trimming
takes away what is to be compared: every acknowledged record of an honest device must stand on the
stream exactly once. A line each minute says what the server's memory is; it must be flat.
"""
EXAMPLES = """\
examples:
  python tests/attacks/campaign.py                             10 minutes
  python tests/attacks/campaign.py --minutes 1 --each 5 -- --stream-maxlen 100000

Exit code: 0; 1 if a record was lost, doubled, or stored and never sent.
"""
COLUMNS = (
    *("minute", "server, MB", "Valkey, MB", "on disk, MB", "records acknowledged"),
    *("ACK p99, ms", "hostile connections", "closed by the server"),
)


@dataclass
class Attacked:
    seconds: float = 600.0
    period_s: float = 60.0
    """Of which there is a line each."""
    devices: int = 100
    interval_s: float = 1.0
    """Between the packets of an honest device."""
    each: int = 2
    """Hostile connections of every kind."""
    seed: int = 1
    options: list[str] = field(default_factory=list)
    """Of `serve`."""


@dataclass
class Minute:
    number: int
    server_bytes: int
    valkey_bytes: int
    disk_bytes: int
    acknowledged: int
    p99_s: float
    connected: int
    closed: int
    """The last four since the last line."""

    def cells(self) -> list[str]:
        sizes = (self.server_bytes, self.valkey_bytes, self.disk_bytes)
        return [
            str(self.number),
            *(f"{size / 1e6:.0f}" for size in sizes),
            str(self.acknowledged),
            f"{1000 * self.p99_s:.0f}",
            str(self.connected),
            str(self.closed),
        ]


class _Reader:
    """Keeps which records of honest devices are on the stream, as they come."""

    def __init__(self, url: str, imeis: set[str]) -> None:
        self._client = redis.asyncio.Redis.from_url(url, decode_responses=True)
        self._imeis = imeis
        self._after = "0-0"
        self.found: list[tuple[str, Record]] = []
        self.is_last = False
        """Whether nothing more comes. It is not cancelled instead: before Python 3.12 redis-py can
        miss that while answers come in."""

    async def run(self) -> None:
        """Until all is read that there is at last."""
        async with self._client:
            while await self._read(block_ms=200) or not self.is_last:
                pass

    async def _read(self, block_ms: int) -> int:
        reply = await self._client.xread({STREAM: self._after}, count=200, block=block_ms)
        entries = cast("list[tuple[str, dict[str, str]]]", reply[0][1] if reply else [])
        for entry, fields in entries:
            if fields["device_id"] in self._imeis:
                self.found.append((entry, (fields["device_id"], fields["ts"])))
            self._after = entry
        return len(entries)


async def run(
    directory: Path, attacked: Attacked, tell: Callable[[Minute], None] = lambda minute: None
) -> tuple[list[Minute], Comparison]:
    """The lines, and what became of the honest devices' records."""
    server = await asyncio.to_thread(ServerProcess, directory / "data", *attacked.options)
    imeis = {imei_of(number) for number in range(attacked.devices)}
    with server:
        fleet = WitnessedFleet(server.port, attacked.seed, attacked.interval_s, attacked.devices)
        reader = _Reader(server.listening["redis"], imeis)
        minutes: list[Minute] = []
        async with asyncio.TaskGroup() as group:
            group.create_task(reader.run())
            async with fleet.running():
                names = [kind.name for kind in kinds()]
                attack = attacking(server.port, names, attacked.each)
                hostile = await asyncio.to_thread(attack.__enter__)
                try:
                    async for minute in _minutes(server, fleet, attacked, hostile.counts):
                        minutes.append(minute)
                        tell(minute)
                finally:
                    await asyncio.to_thread(attack.__exit__, None, None, None)
            reader.is_last = True
        assert await asyncio.to_thread(server.stop) == 0, server.log_text()[-2_000:]
    return minutes, compare_records(lambda: reader.found, fleet)


async def _minutes(
    server: ServerProcess, fleet: WitnessedFleet, attacked: Attacked, counts: Callable[[], Counts]
) -> AsyncIterator[Minute]:
    processes = psutil.Process(server.process.pid), psutil.Process(server.valkey_pid)
    acknowledged = answers = connected = closed = 0
    end, number = monotonic() + attacked.seconds, 0
    while monotonic() < end:
        number += 1
        await asyncio.sleep(min(attacked.period_s, max(0.0, end - monotonic())))
        latencies = sorted(fleet.witness.latencies_s(answers))
        answers += len(latencies)
        so_far = counts()
        yield Minute(
            number,
            *(process.memory_info().rss for process in processes),
            sum(file.stat().st_size for file in server.data_dir.rglob("*") if file.is_file()),
            fleet.records_acknowledged - acknowledged,
            latencies[len(latencies) * 99 // 100] if latencies else attacked.period_s,
            so_far.connected - connected,
            so_far.closed - closed,
        )
        acknowledged = fleet.records_acknowledged
        connected, closed = so_far.connected, so_far.closed


def main() -> None:
    parser = argparse.ArgumentParser(
        description=HELP, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=10.0, help="how long (10)")
    parser.add_argument("--devices", type=int, default=100, help="honest ones (100)")
    parser.add_argument("--each", type=int, default=2, help="hostile ones of every kind (2)")
    parser.add_argument("--seed", type=int, default=1, help="of the honest devices' records (1)")
    parser.add_argument("options", nargs="*", help="of `serve`, after --")
    arguments = parser.parse_args()
    attacked = Attacked(
        seconds=60 * arguments.minutes,
        devices=arguments.devices,
        each=arguments.each,
        seed=arguments.seed,
        options=arguments.options,
    )
    directory = Path(tempfile.mkdtemp(prefix="teltonika-attacked-"))

    def tell(minute: Minute) -> None:
        said = zip(COLUMNS, minute.cells(), strict=True)
        print(", ".join(f"{column} {cell}" for column, cell in said), flush=True)

    try:
        minutes, result = asyncio.run(run(directory, attacked, tell))
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(directory)
    table = Table(*COLUMNS)
    for minute in minutes:
        table.add_row(*minute.cells())
    Console(width=130).print(table)
    print(
        f"records sent {result.sent}, acknowledged {result.acknowledged}, stored {result.stored}\n"
        f"lost {result.lost}, doubled {result.doubled}, stored and never sent {result.unsent}"
    )
    print(*result.examples, sep="\n")
    sys.exit(bool(result.lost or result.doubled or result.unsent))


if __name__ == "__main__":
    main()
