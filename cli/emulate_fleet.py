"""`teltonika emulate` with many devices: its options, its run, and what it says in the end."""

import asyncio
import re
import signal
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Annotated, TypeAlias

import typer
from rich.console import Console

from teltonika.cli.emulate_record import recording
from teltonika.cli.emulate_scenario import print_verdicts, tell_junit
from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.event_loop import run
from teltonika.cli.fleet_view import FleetView, summary
from teltonika.cli.numbers import a_number
from teltonika.cli.output import print_json
from teltonika.codecs import consecutive_imeis, parse_imei
from teltonika.emulator import EmulatorSettings, Fleet, FleetProcesses, Recorder
from teltonika.emulator.fleet_processes import FleetProcessError
from teltonika.emulator.scenario import Scenario, ScenarioFleet, Verdict

MAX_DEVICES = 100_000
FLEET = "Fleet"
DEFAULT_IMEI = "356307042441013"
"""That of the sample packets in Teltonika's documentation."""

CountOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Be so many devices: --imei and the IMEIs that follow it, each with a right Luhn "
        "digit. They send at moments of their own.",
        min=1,
        max=MAX_DEVICES,
        rich_help_panel=FLEET,
    ),
]
ImeiFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(
        help="Be the devices of this file, an IMEI a line; empty lines and lines that begin with "
        "# do not count.",
        show_default="none",
        rich_help_panel=FLEET,
    ),
]
RampOption: TypeAlias = Annotated[
    str,
    typer.Option(
        metavar="N/s",
        help="So many devices set off in a second; 0: all at once.",
        rich_help_panel=FLEET,
    ),
]
DurationOption: TypeAlias = Annotated[
    float | None,
    typer.Option(
        callback=a_number,
        metavar="SECONDS",
        help="End after so long, as after a Ctrl-C; without --records devices send until then.",
        min=0.1,
        show_default="until all records are sent",
        rich_help_panel=FLEET,
    ),
]
ProcessesOption: TypeAlias = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Share the devices out among so many processes, for more than one core.",
        min=1,
        max=64,
        rich_help_panel=FLEET,
    ),
]


def parse_ramp(text: str) -> float:
    """`50/s`, or `50`, to devices a second; ends the command with a sentence otherwise."""
    match = re.fullmatch(r"(\d{1,9}(?:\.\d{1,9})?)(?:/s)?", text, re.ASCII)
    if match is None:
        fail(f"--ramp: {text!r} is no number of devices a second, such as 50/s", USAGE)
    return float(match[1])


def fleet_imeis(first: str | None, count: int, file: Path | None) -> Sequence[str]:
    """Who the devices are; ends the command with a sentence if that is not clear."""
    if file is None:
        first = DEFAULT_IMEI if first is None else first
        try:
            return [parse_imei(first)] if count == 1 else consecutive_imeis(first, count)
        except ValueError as error:
            fail(f"--imei: {error}", USAGE)
    if first is not None or count != 1:
        fail("--imei-file: the file says who and how many; leave --imei and --count out", USAGE)
    imeis = _read_imeis(file)
    if not imeis:
        fail(f"--imei-file: {file}: there is no IMEI in it", USAGE)
    if len(imeis) > MAX_DEVICES:
        fail(f"--imei-file: {file}: {len(imeis)} IMEIs; {MAX_DEVICES} is the most", USAGE)
    return imeis


def _read_imeis(file: Path) -> list[str]:
    imeis: dict[str, int] = {}
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        fail(f"--imei-file: {file}: {error.strerror}", USAGE)
    except UnicodeDecodeError:
        fail(f"--imei-file: {file}: expected text", USAGE)
    for number, line in enumerate(lines, start=1):
        imei = line.strip()
        if not imei or imei.startswith("#"):
            continue
        try:
            parse_imei(imei)
        except ValueError as error:
            fail(f"--imei-file: {file}, line {number}: {error}", USAGE)
        if imei in imeis:
            fail(
                f"--imei-file: {file}, line {number}: {imei} stands in line {imeis[imei]}, too",
                USAGE,
            )
        imeis[imei] = number
    return list(imeis)


def run_fleet(
    imeis: Sequence[str],
    settings: EmulatorSettings,
    *,
    ramp: float,
    duration: float | None,
    processes: int,
    json: bool,
    target: str,
    record: Path | None,
    scenario: Scenario | None = None,
    junit: Path | None = None,
) -> None:
    """Run them to their end, and say what became of them; ends the command with its exit code."""
    forked = None
    if processes > 1 and scenario is not None:
        fail("--scenario: one process goes through it; leave --processes out", USAGE)
    if processes > 1 and record is not None:
        fail("--record: one process writes the file; leave --processes out", USAGE)
    if processes > 1:
        share = min(processes, len(imeis))
        forked = FleetProcesses(imeis, settings, ramp=ramp, processes=share, runner=run)
    view = FleetView(target, json=json)
    try:
        with recording(record) as recorder:

            def make() -> Fleet | FleetProcesses:
                if scenario is None:
                    return forked or Fleet(imeis, settings, ramp=ramp, recorder=recorder)
                return _scenario_fleet(scenario, imeis, settings, ramp, duration, recorder)

            fleet = run(_run_to_the_end(make, None if scenario else duration, view))
    except FleetProcessError as error:
        fail(str(error), FAILED)
    counts = fleet.counts()
    verdicts = fleet.verdicts() if isinstance(fleet, ScenarioFleet) else []
    if json:
        report = summary(counts, view.seconds)
        print_json(report | {"expectations": verdicts} if scenario else report)
    else:
        view.print_report(counts, Console())
    if scenario is not None:
        _conclude(scenario, verdicts, view.seconds, junit, json=json)
        return
    if counts.corrupt_acknowledged:
        fail(f"{counts.corrupt_acknowledged} broken packets were acknowledged", FAILED)
    if not counts.complete:
        missing = counts.records_sent - counts.records_acknowledged
        names = ", ".join(counts.incomplete)
        fail(
            f"{missing} of {counts.records_sent} records were never acknowledged, {counts.gave_up} "
            f"devices gave up: {names}",
            FAILED,
        )


def _scenario_fleet(
    scenario: Scenario,
    imeis: Sequence[str],
    settings: EmulatorSettings,
    ramp: float,
    duration: float | None,
    recorder: Recorder | None,
) -> ScenarioFleet:
    try:
        return ScenarioFleet(
            scenario, imeis, settings, ramp=ramp, duration=duration, recorder=recorder
        )
    except ValueError as error:
        fail(f"--scenario: {scenario.name}: {error}", USAGE)


def _conclude(
    scenario: Scenario,
    verdicts: Sequence[Verdict],
    seconds: float,
    junit: Path | None,
    *,
    json: bool,
) -> None:
    if not json:
        print_verdicts(scenario, verdicts, Console())
    tell_junit(junit, scenario, verdicts, seconds)
    failed = sum(not verdict.passed for verdict in verdicts)
    if failed:
        fail(f"{failed} of {len(verdicts)} expectations did not come true", FAILED)


async def _run_to_the_end(
    make: Callable[[], Fleet | FleetProcesses], duration: float | None, view: FleetView
) -> Fleet | FleetProcesses:
    """The first SIGINT or SIGTERM ends it well, the second at once."""
    fleet = make()
    loop = asyncio.get_running_loop()
    cut = asyncio.timeout(None)

    def on_signal() -> None:
        if fleet.stopping and not cut.expired():
            cut.reschedule(loop.time())
        view.stopping()
        fleet.stop()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, on_signal)
    if duration is not None:
        loop.call_later(duration, fleet.stop)
    with view.showing(fleet.counts), suppress(TimeoutError):
        async with cut, asyncio.TaskGroup() as group:
            watching = group.create_task(view.watch())
            await fleet.run()
            watching.cancel()
    return fleet
