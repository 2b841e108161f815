"""A load run: thousands of devices held for minutes, and the server's memory meanwhile."""

import argparse
import asyncio
import contextlib
import resource
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import mean

import psutil
from rich.console import Console
from rich.table import Table

sys.path += [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from load_devices import ADDRESSES, LoadDevice
from serving import REGISTRY, ServerProcess

HELP = """\
A load run: so many devices are held by one server, and a tenth of them reconnects all the time. Of
those a third ends its connection with a reset, a third with a close, and a third forgets it and
comes back on another, so that the server has to take it over. Each sends a small packet now and
then and waits for its ACK. A line each minute says what the server's memory is; it must be flat.
"""
EXAMPLES = """\
examples:
  python tests/e2e/load.py                              5,000 devices for 10 minutes
  python tests/e2e/load.py --devices 500 --minutes 2

Exit code: 0; 1 if from the first minute to the last the server grew by more than the bound.
"""
DESCRIPTORS_TO_SPARE = 200
AT_A_TIME = 100
SAMPLES_A_PERIOD = 60


@dataclass
class Load:
    devices: int = 5_000
    interval_s: float = 30.0
    """Between the packets of a device that is held."""
    pause_s: float = 1.0
    """Mean length of the connections of one that reconnects."""
    stream_maxlen: int = 1_000
    """Small: the stream is not what is measured."""


@dataclass
class Period:
    """A minute, usually."""

    held: int
    reconnects: int
    """So far, as the two that follow."""
    taken_over: int
    packets: int
    descriptors: int
    server_mib: float
    """The mean of what was resident."""
    valkey_mib: float

    def cells(self) -> list[str]:
        counts = (self.held, self.reconnects, self.taken_over, self.packets, self.descriptors)
        return [*map(str, counts), f"{self.server_mib:.1f}", f"{self.valkey_mib:.1f}"]


COLUMNS = (
    *("minute", "held", "reconnects", "taken over", "packets", "server's descriptors"),
    *("server, MiB", "Valkey, MiB"),
)


def growth(periods: list[Period]) -> float:
    """Of the server, from the first period to the last, in per cent."""
    return 100 * (periods[-1].server_mib / periods[0].server_mib - 1)


def raise_descriptor_limit(devices: int) -> None:
    """As far as it goes; the server gets it, too. Raises ValueError if that is too little."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = devices + devices // 5 + DESCRIPTORS_TO_SPARE
    if hard != resource.RLIM_INFINITY and hard < wanted:
        raise ValueError(f"{devices} devices need {wanted} file descriptors; the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


async def run_load(
    directory: Path,
    load: Load,
    *,
    periods: int,
    period_s: float,
    reconnects: int = 0,
    tell: Callable[[str], None] = lambda line: None,
) -> list[Period]:
    """Connect all, then measure. A period is so long, and longer if it needs to be for so many
    ``reconnects``; with these the first is a warm-up, and not told of."""
    raise_descriptor_limit(load.devices)
    options = ("--stream-maxlen", str(load.stream_maxlen), "--log-level", "warning")
    server = await asyncio.to_thread(ServerProcess, directory, *options)
    counts: Counter[str] = Counter()
    found = []
    with server:
        processes = psutil.Process(server.process.pid), psutil.Process(server.valkey_pid)
        async with _connected(server.port, load, counts):
            tell(f"{load.devices} devices connected; {ADDRESSES} addresses")
            if reconnects:
                await _period(period_s, reconnects, processes, counts)
            for number in range(1, periods + 1):
                found.append(await _period(period_s, reconnects, processes, counts))
                tell(f"{number}: {', '.join(found[-1].cells())}")
            registered = int(server.redis.hlen(REGISTRY))
            assert abs(registered - load.devices) <= load.devices // 10, registered
        assert await asyncio.to_thread(server.stop) == 0, server.log_text()
    return found


@contextlib.asynccontextmanager
async def _connected(port: int, load: Load, counts: Counter[str]) -> AsyncIterator[None]:
    """Every device; one that fails ends the body."""
    devices = [
        LoadDevice(number, port, counts, load.interval_s, load.pause_s)
        for number in range(load.devices)
    ]
    for some in range(0, load.devices, AT_A_TIME):
        await asyncio.gather(*(device.connect() for device in devices[some : some + AT_A_TIME]))
    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(device.hold() if number % 10 else device.reconnect())
            for number, device in enumerate(devices)
        ]
        yield
        for task in tasks:
            task.cancel()


async def _period(
    period_s: float,
    reconnects: int,
    processes: tuple[psutil.Process, psutil.Process],
    counts: Counter[str],
) -> Period:
    resident: tuple[list[int], list[int]] = ([], [])
    loop = asyncio.get_running_loop()
    end, goal = loop.time() + period_s, counts["reconnects"] + reconnects
    while loop.time() < end or counts["reconnects"] < goal:
        await asyncio.sleep(period_s / SAMPLES_A_PERIOD)
        for process, sizes in zip(processes, resident, strict=True):
            sizes.append(process.memory_info().rss)
    return Period(
        counts["held"],
        counts["reconnects"],
        counts["taken over"],
        counts["packets"],
        processes[0].num_fds(),
        *(mean(sizes) / (1 << 20) for sizes in resident),
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=HELP, epilog=EXAMPLES, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--devices", type=int, default=5_000, help="how many (5000)")
    parser.add_argument(
        "--minutes", type=int, default=10, help="measured, once all are connected (10)"
    )
    parser.add_argument("--interval", type=float, default=30.0, help="seconds between packets (30)")
    parser.add_argument(
        "--pause", type=float, default=1.0, help="seconds between reconnects, on average (1)"
    )
    parser.add_argument("--stream-maxlen", type=int, default=1_000, help="of the server (1000)")
    parser.add_argument("--bound", type=float, default=10.0, help="growth in per cent (10)")
    arguments = parser.parse_args()
    load = Load(arguments.devices, arguments.interval, arguments.pause, arguments.stream_maxlen)
    directory = Path(tempfile.mkdtemp(prefix="teltonika-load-"))
    try:
        periods = asyncio.run(
            run_load(
                *(directory, load),
                periods=arguments.minutes,
                period_s=60.0,
                tell=lambda line: print(line, flush=True),
            )
        )
    except (ValueError, KeyboardInterrupt) as error:
        sys.exit(str(error) or 130)
    finally:
        shutil.rmtree(directory)
    table = Table(*COLUMNS)
    for column in table.columns:
        column.justify = "right"
    for number, period in enumerate(periods, 1):
        table.add_row(str(number), *period.cells())
    Console(width=None if sys.stdout.isatty() else 110).print(table)
    grown = growth(periods)
    print(f"the server grew by {grown:.1f} % from the first minute to the last")
    if grown > arguments.bound:
        sys.exit(f"that is more than {arguments.bound:g} %")


if __name__ == "__main__":
    main()
