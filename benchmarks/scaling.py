"""`python -m benchmarks.scaling`: what a fleet costs, and what a larger one would.

Without ``--like`` it measures a few sizes on this machine, fits the formula to them, and holds it
against a size that it has not seen: docs/scaling.json has what it found. With it, it says what a
fleet would cost by what was measured then.
"""

import math
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from statistics import median
from typing import Annotated

import msgspec
import typer
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from benchmarks.cost_model import COSTS, TERMS, Cost, Load, Model, fit, measure
from benchmarks.report import machine, versions
from teltonika.server.connection_limits import raise_descriptor_limit

SIZES = (
    Load(1_000, 300, 1),
    Load(1_000, 1_200, 1),
    Load(1_000, 300, 8),
    Load(5_000, 300, 1),
    Load(5_000, 1_200, 8),
)
HELD_OUT = Load(3_000, 700, 4)
BOUND = 0.2
"""How far the formula may be from what it has not seen."""
WINDOW_S = 5.0
QUICK = 20
BUSY = 0.7
"""Of a core: above it, answers come late."""
UNITS = {
    "server_cores": "cores of the server",
    "redis_cores": "cores of Redis",
    "server_mib": "MiB of the server",
    "redis_commands_per_s": "commands a second in Redis",
    "redis_kib_per_s": "KiB a second in Redis",
}


class Measured(msgspec.Struct, frozen=True):
    """One size, by the medians of its rounds."""

    load: Load
    cost: Cost


class Scaling(msgspec.Struct, frozen=True):
    """docs/scaling.json."""

    machine: str
    versions: Mapping[str, str]
    rounds: int
    minutes: float
    measured: tuple[Measured, ...]
    model: Model
    held_out: Measured
    predicted: Cost

    @property
    def errors(self) -> Mapping[str, float]:
        """Of the prediction, as parts of what was measured."""
        return {
            cost: getattr(self.predicted, cost) / getattr(self.held_out.cost, cost) - 1
            for cost in COSTS
        }


def main(
    like: Annotated[
        Path | None, typer.Option(dir_okay=False, exists=True, help="Measure nothing: by this.")
    ] = None,
    devices: Annotated[int, typer.Option(min=1, help="With --like: connected ones.")] = 1_000_000,
    interval: Annotated[
        float, typer.Option(min=0.01, help="With --like: seconds between two packets of one.")
    ] = 60.0,
    records: Annotated[int, typer.Option(min=1, max=255, help="With --like: in a packet.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds of all sizes.")] = 5,
    seed: Annotated[int, typer.Option(help="Of the records.")] = 1,
    output: Annotated[
        Path, typer.Option(file_okay=False, help="Where scaling.json is written.")
    ] = Path(),
    quick: Annotated[
        bool, typer.Option("--quick", help="Only see that it runs: the figures mean nothing.")
    ] = False,
) -> None:
    """Measure what a fleet costs, or say what a larger one would."""
    console = Console(highlight=False)
    if like is not None:
        scaling = msgspec.json.decode(like.read_bytes(), type=Scaling)
        print_fleet(scaling, Load(devices, devices / interval, records), console)
        return
    scaling = measured(1 if quick else rounds, seed, QUICK if quick else 1)
    print_measured(scaling, console)
    output.mkdir(parents=True, exist_ok=True)
    (output / "scaling.json").write_bytes(msgspec.json.format(msgspec.json.encode(scaling)))
    if not quick and max(map(abs, scaling.errors.values())) > BOUND:
        raise typer.Exit(1)


def measured(rounds: int, seed: int, part: int) -> Scaling:
    """All sizes in each round; smaller by ``part``."""
    started = time.monotonic()
    raise_descriptor_limit()  # each connection is a file
    loads = [
        Load(load.devices // part, load.packets_per_s / part, load.records_per_packet)
        for load in (*SIZES, HELD_OUT)
    ]
    found: dict[Load, list[Cost]] = {load: [] for load in loads}
    with Progress(console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("", total=rounds * len(loads))
        for number in range(1, rounds + 1):
            for load in loads:
                progress.update(task, description=f"round {number} of {rounds}: {load}")
                found[load].append(measure(load, WINDOW_S / part**0.5, seed))
                progress.advance(task)
    *sizes, held_out = (Measured(load, _median(costs)) for load, costs in found.items())
    model = fit([(one.load, one.cost) for one in sizes])
    return Scaling(
        machine=machine(),
        versions=versions(),
        rounds=rounds,
        minutes=(time.monotonic() - started) / 60,
        measured=tuple(sizes),
        model=model,
        held_out=held_out,
        predicted=model.predict(held_out.load),
    )


def _median(costs: list[Cost]) -> Cost:
    return Cost(**{name: median(getattr(cost, name) for cost in costs) for name in COSTS})


def print_measured(scaling: Scaling, console: Console) -> None:
    """The factors, and the prediction beside what was measured."""
    factors = Table(title="Factors", title_justify="left")
    for place, column in enumerate(("", *TERMS)):
        factors.add_column(column, justify="right" if place else "left")
    for cost, values in scaling.model.factors.items():
        factors.add_row(UNITS[cost], *(f"{value:.3g}" for value in values))
    console.print(factors)
    table = Table(title=f"Held out: {scaling.held_out.load}", title_justify="left")
    for place, column in enumerate(("", "predicted", "measured", "error")):
        table.add_column(column, justify="right" if place else "left")
    for cost, error in scaling.errors.items():
        both = (getattr(one, cost) for one in (scaling.predicted, scaling.held_out.cost))
        table.add_row(UNITS[cost], *(f"{value:,.3f}" for value in both), f"{100 * error:+.0f} %")
    console.print(table)


def markdown(scaling: Scaling) -> str:
    """The same for a page."""
    return "\n".join(_markdown_lines(scaling))


def _markdown_lines(scaling: Scaling) -> Iterator[str]:
    yield (
        f"{scaling.machine}. Medians of {scaling.rounds} interleaved rounds, "
        f"{scaling.minutes:.1f} minutes in all; records of 12 IO elements, codec 8."
    )
    yield ""
    yield f"| | {' | '.join(TERMS)} |"
    yield f"|---|{'--:|' * len(TERMS)}"
    for cost, values in scaling.model.factors.items():
        yield f"| {UNITS[cost]} | {' | '.join(f'{value:.3g}' for value in values)} |"
    yield ""
    yield f"Held out: {scaling.held_out.load}.\n"
    yield "| | predicted | measured | error |"
    yield "|---|--:|--:|--:|"
    for cost, error in scaling.errors.items():
        both = (getattr(one, cost) for one in (scaling.predicted, scaling.held_out.cost))
        shown = " | ".join(f"{value:,.3f}" for value in both)
        yield f"| {UNITS[cost]} | {shown} | {100 * error:+.0f} % |"
    yield ""


def print_fleet(scaling: Scaling, fleet: Load, console: Console) -> None:
    """What it would cost, and how many of what it needs."""
    cost = scaling.model.predict(fleet)
    console.print(f"{fleet}; {fleet.terms[3]:,.0f} records a second")
    table = Table()
    table.add_column("")
    table.add_column("in all", justify="right")
    for name in COSTS:
        table.add_row(UNITS[name], f"{getattr(cost, name):,.1f}")
    console.print(table)
    workers = math.ceil(cost.server_cores / BUSY)
    primaries = math.ceil(cost.redis_cores / BUSY)
    console.print(
        f"With no core busier than {BUSY:.0%}: {workers} workers, and {primaries} primaries of a "
        f"cluster with {primaries} shards or a multiple of that."
    )


if __name__ == "__main__":
    typer.run(main)
