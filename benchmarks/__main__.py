"""`python -m benchmarks`: every figure beside its limit, in one table.

Rounds are interleaved, so that a machine that slows down slows all of them; each figure is the
median of its rounds, each ratio the median of the rounds' own ratios.
"""

import os
import platform
from collections import defaultdict
from statistics import median, quantiles
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks import captures, commands, decode, fleet, ingest, startup
from benchmarks.workloads import WORKLOADS

INGEST_RECORDS = {"W1": 150_000, "W2": 60_000, "W3": 120_000, "W4": 30_000}
"""For each round of each workload: a second or two."""
DECODE_RECORDS = 30_000
COMMAND_DEVICES = 1_000
COMMANDS = 500
TELEMETRY_S = 3.0
FLEET_DEVICES = 2_000
FLEET_S = 6.0
CAPTURE_BYTES = 60_000_000
CAPTURE_DEVICES = 500
QUICK = 100
"""By so much smaller is everything with --quick."""

progress = Console(stderr=True)


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of everything.")] = 5,
    connections: Annotated[int, typer.Option(min=1, help="Devices that send at once.")] = 100,
    idle: Annotated[int, typer.Option(min=1, help="Idle connections to weigh.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the workloads.")] = 1,
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that it runs: the figures mean nothing.")
    ] = False,
) -> None:
    """Measure decoding, captures, starts, ingest, commands, devices, connections; in minutes."""
    console = Console()
    machine = f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} CPUs"
    console.print(f"{machine}, seed {seed}, medians of {rounds} rounds")
    part = QUICK if quick else 1
    if quick:
        rounds, idle = 1, idle // part
    console.print(_decode_table(rounds, seed, DECODE_RECORDS // part))
    console.print(_captures_table(rounds, seed, CAPTURE_BYTES // part, CAPTURE_DEVICES // part))
    console.print(_startup_table(1 if quick else 3 * rounds))
    counts = {name: records // part for name, records in INGEST_RECORDS.items()}
    console.print(_ingest_table(rounds, connections, seed, counts))
    console.print(_commands_table(rounds, connections, seed, part))
    console.print(_fleet_table(rounds, FLEET_DEVICES // part, FLEET_S / part))
    kib = ingest.idle_connection_bytes(idle) / 1024
    console.print(f"An idle connection takes {kib:.1f} KiB of the server's memory ({idle:,} open).")


def _decode_table(rounds: int, seed: int, records: int) -> Table:
    figures: dict[tuple[str, str], list[float]] = defaultdict(list)
    for _ in track(range(rounds), "decode", console=progress, transient=True):
        for workload, contenders in decode.measure(records, seed).items():
            for name, microseconds in contenders.items():
                figures[workload, name].append(microseconds)
    table = Table(title="Decode and encode, one thread, CRC checked or made", title_justify="left")
    for heading in ("", "", "µs a record", "spread", "records a second", "of the bare one's rate"):
        table.add_column(heading, justify="right" if heading else "left")
    for (workload, name), values in figures.items():
        ratio = ""
        if name in decode.BESIDE:
            bare = figures[workload, decode.BESIDE[name]]
            ratio = f"{median(b / ours for b, ours in zip(bare, values, strict=True)):.2f}"
        middle = median(values)
        spread = f"{100 * (max(values) - min(values)) / middle:.0f} %"
        table.add_row(workload, name, f"{middle:.2f}", spread, f"{1e6 / middle:,.0f}", ratio)
    return table


def _captures_table(rounds: int, seed: int, size: int, devices: int) -> Table:
    figures: dict[str, list[float]] = defaultdict(list)
    for _ in track(range(rounds), "captures", console=progress, transient=True):
        for workload in WORKLOADS:
            figures[workload.name].append(captures.measure(workload, size, devices, seed))
    title = f"decode pcap, {size / 1e6:,.1f} MB, {devices:,} devices at a time"
    table = Table(title=title, title_justify="left")
    table.add_column("capture of")
    table.add_column("MB in a second of one core", justify="right")
    for name, values in figures.items():
        table.add_row(name, f"{median(values):.1f}")
    return table


def _startup_table(rounds: int) -> Table:
    figures: dict[str, list[float]] = defaultdict(list)
    for _ in track(range(rounds), "starts", console=progress, transient=True):
        for name, seconds in startup.measure().items():
            figures[name].append(seconds)
    table = Table(title="From the start of a process to its end", title_justify="left")
    for heading in ("", "ms", "times python -c pass"):
        table.add_column(heading, justify="right" if heading else "left")
    bare = figures["python -c pass"]
    for name, values in figures.items():
        ratio = median(ours / theirs for ours, theirs in zip(values, bare, strict=True))
        table.add_row(name, f"{1000 * median(values):.0f}", f"{ratio:.1f}")
    return table


def _ingest_table(rounds: int, connections: int, seed: int, counts: dict[str, int]) -> Table:
    figures: dict[str, list[tuple[float, float]]] = defaultdict(list)
    for _ in track(range(rounds), "ingest", console=progress, transient=True):
        for workload in WORKLOADS:
            with ingest.running_server() as server:
                figures[workload.name].append(
                    ingest.measure(workload, connections, counts[workload.name], seed, server)
                )
    table = Table(
        title=f"Ingest, {connections} connections, to the fsynced entry and back to the ACK",
        title_justify="left",
    )
    for heading in ("", "records a second", "ceiling", "of the ceiling"):
        table.add_column(heading, justify="right" if heading else "left")
    for name, values in figures.items():
        ours, limit = (median(pair[place] for pair in values) for place in (0, 1))
        ratio = median(pair[0] / pair[1] for pair in values)
        table.add_row(name, f"{ours:,.0f}", f"{limit:,.0f}", f"{ratio:.2f}")
    return table


def _commands_table(rounds: int, senders: int, seed: int, part: int) -> Table:
    devices, count, seconds = COMMAND_DEVICES // part, COMMANDS // part, TELEMETRY_S / part
    figures = []
    for number in track(range(rounds), "commands", console=progress, transient=True):
        with ingest.running_server() as server:
            figures.append(
                commands.measure(
                    server,
                    WORKLOADS[0],
                    seed=seed + number,
                    devices=devices,
                    senders=senders,
                    count=count,
                    seconds=seconds,
                )
            )
    title = "Commands, from XADD to the answer on the stream"
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    burst_s = median(figure.burst_s for figure in figures)
    table.add_row(f"{devices:,} devices, one command each at once", f"{burst_s:.2f} s")
    table.add_row("commands a second then", f"{devices / burst_s:,.0f}")
    for name, latencies in (
        ("idle", [ms for figure in figures for ms in figure.idle_ms]),
        ("telemetry at half its maximum", [ms for figure in figures for ms in figure.half_load_ms]),
    ):
        percentiles = quantiles(latencies, n=100, method="inclusive")
        table.add_row(f"{name}: median", f"{median(latencies):.1f} ms")
        table.add_row(f"{name}: p99", f"{percentiles[98]:.1f} ms")
    ratio = median(figure.with_commands_ratio for figure in figures)
    table.add_row(
        f"telemetry at its maximum, with {commands.COMMANDS_PER_SECOND} commands a second",
        f"{ratio:.2f} times",
    )
    return table


def _fleet_table(rounds: int, devices: int, seconds: float) -> Table:
    figures = [
        fleet.measure(devices, seconds)
        for _ in track(range(rounds), "fleet", console=progress, transient=True)
    ]
    share = median(figure.core_share for figure in figures)
    kib = median(figure.kib_a_device for figure in figures)
    title = f"Emulated devices, {devices:,} in one process, against a sink"
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", justify="right")
    table.add_row("one packet a second each: of a core", f"{share:.2f}")
    table.add_row(
        "devices for each core", f"{devices / share:,.0f}" if share else "too short a run"
    )
    table.add_row("memory for each", f"{kib:.1f} KiB")
    rate = median(figure.flat_out for figure in figures)
    table.add_row("flat out, 50 devices: packets a second", f"{rate:,.0f}")
    return table


if __name__ == "__main__":
    typer.run(main)
