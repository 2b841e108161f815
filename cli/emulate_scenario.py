"""`teltonika emulate --scenario`: its options, and what it says of the expectations."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table
from rich.text import Text

from teltonika.cli.errors import USAGE, fail
from teltonika.emulator.scenario import (
    Scenario,
    ScenarioError,
    Verdict,
    read_scenario,
    write_junit,
)

SCENARIO = "Scenario"
_NOT_IN_A_FILE = frozenset(("scenario", "junit", "json"))


def _set_defaults(context: typer.Context, path: Path | None) -> Path | None:
    """What the file has under [emulate] is what options are that the command line leaves out."""
    if path is None:
        return None
    scenario = scenario_from(path)
    options = {
        name.removeprefix("--"): option.name or name
        for option in context.command.params
        for name in option.opts
        if option.name not in _NOT_IN_A_FILE
    }
    defaults = {}
    for name, value in scenario.emulate.items():
        if name not in options:
            fail(f"--scenario: {path}: emulate, {name}: there is no such option", USAGE)
        defaults[options[name]] = value
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


ScenarioOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Go through the steps of this TOML or YAML file, and exit with 1 where what it "
        "expects does not come true. It can hold other options, too: those given here win.",
        show_default="none",
        is_eager=True,
        callback=_set_defaults,
        rich_help_panel=SCENARIO,
    ),
]
JunitOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Write what became of the expectations to this file, as JUnit XML.",
        show_default="none",
        rich_help_panel=SCENARIO,
    ),
]


def scenario_from(path: Path) -> Scenario:
    """Ends the command with a sentence where the file is none."""
    try:
        return read_scenario(path)
    except ScenarioError as error:
        fail(f"--scenario: {error}", USAGE)


def check_junit(junit: Path | None, scenario: Path | None) -> None:
    """Ends the command with a sentence where ``junit`` will not be written."""
    if junit is None:
        return
    if scenario is None:
        fail("--junit: it is about the expectations of a --scenario", USAGE)
    try:
        junit.open("a").close()
    except OSError as error:
        fail(f"--junit: cannot write {junit}: {error.strerror}", USAGE)


def print_verdicts(scenario: Scenario, verdicts: Sequence[Verdict], console: Console) -> None:
    """For a person."""
    table = Table(box=SIMPLE, show_header=False, pad_edge=False)
    for verdict in verdicts:
        word = Text("passed", "green") if verdict.passed else Text("failed", "bold red")
        table.add_row(word, Text(verdict.expectation), Text(verdict.saw))
    console.print(Text(scenario.name, style="bold"), table)


def tell_junit(
    path: Path | None, scenario: Scenario, verdicts: Sequence[Verdict], seconds: float
) -> None:
    """Write the file that --junit names, if it names one."""
    if path is None:
        return
    try:
        write_junit(path, scenario.name, verdicts, seconds)
    except OSError as error:
        fail(f"--junit: cannot write {path}: {error.strerror}")
