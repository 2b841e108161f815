"""`python -m benchmarks`: every figure beside its limit, in one table.

All parts are measured once in each round, so that a machine that slows down slows all of them;
a figure is the median of its rounds, a ratio the median of the rounds' own ratios.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress

from benchmarks import (
    captures,
    commands,
    connections,
    decode,
    fleet,
    hostile,
    ingest,
    peers,
    spread,
    startup,
)
from benchmarks.asked import answers
from benchmarks.figures import Absent, Figure, lines
from benchmarks.report import Report, machine, markdown, print_tables, versions
from benchmarks.servers import running_server
from teltonika.server.connection_limits import raise_descriptor_limit

QUICK = 100
"""By so much smaller is everything with --quick."""


def parts(seed: int, part: int) -> dict[str, Callable[[], Iterator[Figure | Absent]]]:
    """What a round measures; everything is smaller by ``part``."""
    return {
        "Decode": lambda: decode.measure_decode(30_000 // part, seed),
        "Encode": lambda: decode.measure_encode(30_000 // part, seed),
        "Captures": lambda: captures.measure(20_000_000 // part, 500 // part, seed),
        "Starts": lambda: startup.measure(3),
        "Ingest": lambda: ingest.measure(seed, part),
        "Workers and shards": lambda: spread.measure(seed, part),
        "ACK latency": lambda: ingest.measure_latency(seed, 3.0, part),
        "Hostile": lambda: hostile.measure(seed, part),
        "Connections": lambda: connections.measure(seed, part),
        "Commands": lambda: _commands(seed, part),
        "Emulated devices": lambda: fleet.measure(2_000 // part, 5.0 / part),
    }


def _commands(seed: int, part: int) -> Iterator[Figure]:
    with running_server() as server:
        yield from commands.measure(
            server,
            seed=seed,
            devices=1_000 // part,
            senders=max(10, 100 // part),
            count=500 // part,
            seconds=1.5 / part,
        )


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of everything.")] = 5,
    only: Annotated[
        list[str] | None,
        typer.Option(metavar="PART", help=f"Of {', '.join(parts(0, 1))}; can be given again."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the workloads.")] = 1,
    output: Annotated[
        Path, typer.Option(file_okay=False, help="Where benchmarks.md and .json are written.")
    ] = Path(),
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that it runs: the figures mean nothing.")
    ] = False,
) -> None:
    """Measure decoding, captures, starts, ingest, attacks, connections, commands, devices."""
    started = time.monotonic()
    every = parts(seed, QUICK if quick else 1)
    for name in only or ():
        if name not in every:
            raise typer.BadParameter(f"{name!r} is none of {', '.join(every)}")
    chosen = {name: every[name] for name in only or every}
    rounds = 1 if quick else rounds
    raise_descriptor_limit()  # each connection is a file
    figures: dict[str, list[list[Figure]]] = {name: [] for name in chosen}
    absent: dict[str, Absent] = {}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=rounds * len(chosen))
        for number in range(1, rounds + 1):
            for name, measure in chosen.items():
                progress.update(task, description=f"round {number} of {rounds}: {name}")
                measured = list(measure())
                figures[name].append([one for one in measured if isinstance(one, Figure)])
                absent |= {one.name: one for one in measured if isinstance(one, Absent)}
                progress.advance(task)
    found = [line for name in chosen for line in lines(name, figures[name])]
    report = Report(
        machine=machine(),
        versions=versions() | peers.versions(),
        seed=seed,
        rounds=rounds,
        minutes=(time.monotonic() - started) / 60,
        answers=answers(found),
        lines=found,
        absent=list(absent.values()),
    )
    print_tables(report, Console())
    output.mkdir(parents=True, exist_ok=True)
    (output / "benchmarks.md").write_text(markdown(report), encoding="utf-8")
    (output / "benchmarks.json").write_bytes(msgspec.json.format(msgspec.json.encode(report)))


if __name__ == "__main__":
    typer.run(main)
