"""`python -m benchmarks.growth`: what things cost at one size and at another, measured and drawn.

Costs are for each unit of work (a record, a connection, a megabyte) where that can be said: a line
that stays level is work that costs the same however much there is of it.
"""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks import captures, commands, connections, decode, fleet, ingest
from benchmarks.peak_memory import peak_kib
from benchmarks.plots import Curve, Growth, Panel, draw
from benchmarks.report import machine, versions
from benchmarks.servers import running_server
from benchmarks.workloads import Workload
from teltonika.codecs import AVL_CODECS
from teltonika.server.connection_limits import raise_descriptor_limit

RECORDS = 20_000
WIDTHS = (1, 2, 4, 1, 2, 4, 1, 2, 1, 8)
"""Of IO elements, again and again."""


class Point(msgspec.Struct, frozen=True):
    curve: str
    size: float
    value: float


def _ends(sizes: Sequence[int], part: int) -> Sequence[int]:
    """All of them, or the least and the greatest where everything is smaller by ``part``."""
    return sizes if part == 1 else (sizes[0], sizes[-1])


def by_io_elements(seed: int, part: int) -> Iterator[Point]:
    for elements in _ends((1, 5, 10, 20, 50, 100), part):
        widths = tuple(sorted(WIDTHS[place % len(WIDTHS)] for place in range(elements)))
        yield from _of_codecs(elements, 10, widths, seed, part)


def by_records(seed: int, part: int) -> Iterator[Point]:
    for records in _ends((1, 2, 5, 15, 50, 255), part):
        yield from _of_codecs(records, records, tuple(sorted(WIDTHS)), seed, part)


def _of_codecs(
    size: int, records: int, widths: tuple[int, ...], seed: int, part: int
) -> Iterator[Point]:
    """Microseconds a record."""
    workload = Workload(f"{records} of {len(widths)}", AVL_CODECS.by_name("8E"), records, widths)
    for name, rate in decode.rates(workload, max(records, RECORDS // part), seed).items():
        yield Point(name, size, 1e6 / rate)


def by_connections(seed: int, part: int) -> Iterator[Point]:
    for workload, packets in ((ingest.MANY, 8_000), (ingest.ONE, 30_000)):
        for count in _ends((1, 10, 100, 1_000, 5_000), part):
            count_now = max(1, count // part)
            # one connection waits for the disk after each packet
            each = max(2, min(max(6, packets // count), 2_000) // part)
            rates = ingest.measure_one(workload, count_now, each, seed)
            records = workload.records_per_packet
            curve = f"{records} record{'s' * (records > 1)} a packet"
            yield Point(curve, count, rates.to_the_ack)
            yield Point(f"{curve}, ceiling", count, rates.ceiling)


def by_waiting_connections(seed: int, part: int) -> Iterator[Point]:
    for count in _ends((10, 100, 1_000, 5_000), part):
        connections_now = max(1, count // part)
        latency = ingest.latency_at_half(ingest.MANY, connections_now, seed, 2.0, part)
        yield Point("p50", count, latency.p50)
        yield Point("p99", count, latency.p99)


def by_handshakes(_: int, part: int) -> Iterator[Point]:
    for count in _ends((1_000, 2_500, 5_000, 10_000), part):
        opened = connections.handshakes(count // part)
        yield Point("of the server", count, opened.server_us)
        yield Point("from one to the next", count, 1e6 / opened.rate)


def by_capture_size(seed: int, part: int) -> Iterator[Point]:
    for megabytes in _ends((5, 10, 20, 40, 80), part):
        seconds = captures.seconds(ingest.MANY, megabytes * 1_000_000 // part, 500 // part, seed)
        yield Point("", megabytes, 1000 * part * seconds / megabytes)


def by_captures_memory(seed: int, part: int) -> Iterator[Point]:
    for megabytes in _ends((5, 10, 20, 40, 80), part):
        pieces = captures.capture(ingest.MANY, megabytes * 1_000_000 // part, 500 // part, seed)
        yield Point("", megabytes, peak_kib("decode", "pcap", "-", pieces=pieces) / 1024)


def by_idle_connections(_: int, part: int) -> Iterator[Point]:
    sizes = tuple(size // part for size in _ends((1_000, 2_500, 5_000, 10_000), part))
    for resident in connections.memory(sizes).growth:
        yield Point("", resident.connections * part, resident.bytes_each / 1024)


def by_quiet_devices(seed: int, part: int) -> Iterator[Point]:
    sizes = tuple(size // part for size in _ends((1_000, 2_500, 5_000, 10_000), part))
    for used in connections.processor(sizes, 5.0 / part, seed).growth:
        size = used.connections * part
        yield Point("a packet a minute", size, 1e6 * used.sending.server / used.connections)
        yield Point("silent", size, 1e6 * used.silent.server / used.connections)


def by_commands(seed: int, part: int) -> Iterator[Point]:
    with running_server() as server:
        business = commands.Business(server, seed)
        for devices in _ends((10, 100, 1_000, 5_000), part):
            now = max(1, devices // part)
            with commands.running_devices(server.port, commands.Load(now)):
                yield Point("", devices, 1e6 * business.burst(now) / now)


def by_emulated_devices(_: int, part: int) -> Iterator[Point]:
    for devices in _ends((500, 1_000, 2_000, 4_000), part):
        measured = fleet.measure_apart(devices // part, 4.0 / part)
        share = measured.core_share / (devices // part)
        yield Point("", devices, 1e6 * share)


PANELS: dict[Panel, Callable[[int, int], Iterator[Point]]] = {
    Panel("A record by its IO elements", "IO elements", "µs a record", is_logarithmic=False): (
        by_io_elements
    ),
    Panel("A record by its packet's records", "records in a packet", "µs a record"): by_records,
    Panel("Ingest", "connections", "records/s to the ACK"): by_connections,
    Panel("ACK at half of the greatest load, W1", "connections", "ms"): by_waiting_connections,
    Panel("Handshakes, 100 under way", "handshakes", "µs each"): by_handshakes,
    Panel("decode pcap", "MB of capture", "µs of processor time a kB"): by_capture_size,
    Panel("decode pcap, memory", "MB of capture", "MiB at most"): by_captures_memory,
    Panel("Idle connections", "connections", "KiB of the server each"): (by_idle_connections),
    Panel("Connected devices", "devices", "µs of the server a second, each"): by_quiet_devices,
    Panel("A command to each device at once", "devices", "µs a command"): by_commands,
    Panel("Emulated devices", "devices in one process", "µs of processor time a packet"): (
        by_emulated_devices
    ),
}


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of everything.")] = 3,
    seed: Annotated[int, typer.Option(help="Of the workloads.")] = 1,
    output: Annotated[
        Path, typer.Option(file_okay=False, help="Where growth.json, .svg and .png are written.")
    ] = Path(),
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that it runs, at two sizes: no figures.")
    ] = False,
) -> None:
    """Measure costs against size, and draw them; takes about ten minutes."""
    started = time.monotonic()
    part, rounds = (100, 1) if quick else (1, rounds)
    raise_descriptor_limit()  # each connection is a file
    values: dict[Panel, dict[str, dict[float, list[float]]]] = {
        panel: defaultdict(lambda: defaultdict(list)) for panel in PANELS
    }
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=rounds * len(PANELS))
        for number in range(1, rounds + 1):
            for panel, measure in PANELS.items():
                progress.update(task, description=f"round {number} of {rounds}: {panel.title}")
                for point in measure(seed, part):
                    values[panel][point.curve][point.size].append(point.value)
                progress.advance(task)
    growth = Growth(
        machine=machine(),
        versions=versions(),
        seed=seed,
        rounds=rounds,
        minutes=(time.monotonic() - started) / 60,
        panels=[
            (
                panel,
                [
                    Curve(name, list(found), [median(rounds) for rounds in found.values()])
                    for name, found in curves.items()
                ],
            )
            for panel, curves in values.items()
        ],
    )
    output.mkdir(parents=True, exist_ok=True)
    (output / "growth.json").write_bytes(msgspec.json.format(msgspec.json.encode(growth)))
    draw(growth, output)


if __name__ == "__main__":
    typer.run(main)
