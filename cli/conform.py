"""`teltonika conform`: whether a server speaks Teltonika as the protocol says."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from teltonika.cli.addresses import split_address
from teltonika.cli.emulate_profile import profile_from
from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.event_loop import run
from teltonika.cli.numbers import a_number
from teltonika.cli.output import print_json
from teltonika.codecs import parse_imei
from teltonika.codecs.printable import printable
from teltonika.emulator.conformance import (
    FIRST_IMEI,
    SUITE,
    CaseResult,
    Group,
    Outcome,
    Patience,
    Summary,
    Target,
    case_object,
    check_listens,
    explained,
    profile_group,
    run_cases,
    select_cases,
    summarise,
    write_junit,
)

COLOURS = {
    Outcome.PASSED: "green",
    Outcome.FAILED: "bold red",
    Outcome.WARNED: "yellow",
    Outcome.SKIPPED: "dim",
}


def conform(
    target: Annotated[
        str,
        typer.Argument(
            metavar="HOST:PORT", envvar="TELTONIKA_TARGET", help="The server and its TCP port."
        ),
    ] = "127.0.0.1:5027",
    case: Annotated[
        list[str] | None,
        typer.Option(help="Run this case, or this group, only. Can be given again."),
    ] = None,
    list_: Annotated[
        bool,
        typer.Option(
            "--list", envvar="TELTONIKA_LIST", help="Say what the cases are, and run none."
        ),
    ] = False,
    imei: Annotated[
        str, typer.Option(help="The first IMEI; each case takes two of those behind it.")
    ] = FIRST_IMEI,
    profile: Annotated[
        str | None,
        typer.Option(
            metavar="NAME|FILE",
            help="Also send what a device of this model sends, as `emulate --profile` does: the "
            "group profile.",
            show_default="none",
        ),
    ] = None,
    unknown_imei: Annotated[
        str | None,
        typer.Option(help="An IMEI that the server must refuse.", show_default=False),
    ] = None,
    udp_port: Annotated[
        int | None,
        typer.Option(
            help="The server's UDP port; without it no datagrams are sent.",
            min=1,
            max=65535,
            show_default=False,
        ),
    ] = None,
    timeout: Annotated[
        float,
        typer.Option(callback=a_number, help="Seconds that an answer may take.", min=0.1, max=600),
    ] = Patience().answer_s,
    junit: Annotated[
        Path | None,
        typer.Option(help="Write a JUnit file, for CI.", dir_okay=False, show_default=False),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print NDJSON: an object a case, then a summary.")
    ] = False,
) -> None:
    """Test any server that takes Teltonika devices against the protocol.

    Plays devices that send what real ones do: split and coalesced packets,
    pings, wrong CRCs, records sent again. Each case names the sentence of the
    protocol that it rests on. Exits with 1 if a required case fails, with 2 if
    there is nothing to test; a recommended case only warns.

    The server stores what it acknowledges: give it a test's data directory.
    """
    tracker = profile_from(profile)
    suite = SUITE if tracker is None else (*SUITE, profile_group(tracker))
    try:
        groups = select_cases(case or (), suite)
    except ValueError as error:
        fail(f"--case: {error}", USAGE)
    if list_:
        _print_list(groups, json=json)
        return
    for option, value in (("--imei", imei), ("--unknown-imei", unknown_imei)):
        try:
            parse_imei(value or FIRST_IMEI)
        except ValueError as error:
            fail(f"{option}: {error}", USAGE)
    try:
        host, port = split_address(target, lowest_port=1)
    except ValueError as error:
        fail(f"HOST:PORT: {error}", USAGE)
    server = Target(
        host=host,
        port=port,
        udp_port=udp_port,
        first_imei=imei,
        unknown_imei=unknown_imei,
        patience=Patience(answer_s=timeout),
    )
    try:
        results = run(_run(groups, server, target, json=json))
    except KeyboardInterrupt:
        fail("interrupted", 130)
    summary = summarise(target, results)
    if json:
        print_json(summary)
    else:
        _print_report(results, summary)
    if junit is not None:
        try:
            write_junit(junit, target, results)
        except OSError as error:
            fail(f"--junit: cannot write {junit}: {error.strerror}", USAGE)
    if not summary.conforms:
        raise typer.Exit(FAILED)


async def _run(
    groups: tuple[Group, ...], target: Target, name: str, *, json: bool
) -> list[CaseResult]:
    try:
        await check_listens(target)
    except (OSError, UnicodeError) as error:
        why = getattr(error, "strerror", None) or str(error) or "no connection in time"
        fail(f"nothing to test at {name}: {why}", USAGE)
    results: list[CaseResult] = []
    total = sum(len(group.cases) for group in groups)
    async for result in run_cases(groups, target):
        results.append(result)
        if json:
            print_json(result.as_object())
        else:
            _say_progress(result, len(results), total)
    return results


def _say_progress(result: CaseResult, number: int, total: int) -> None:
    line = f"{number:3}/{total} {result.outcome:7} {result.case.name}"
    typer.echo(f"{line}: {printable(result.saw)}" if result.saw else line, err=True)


def _print_list(groups: tuple[Group, ...], *, json: bool) -> None:
    for group in groups:
        for case in group.cases:
            if json:
                print_json(case_object(case, group.name))
                continue
            needs = f", needs {case.needs}" if case.needs else ""
            typer.echo(f"{case.name} ({group.name}, {case.requirement}{needs})")
            typer.echo(f"    expects: {case.expects}")
            typer.echo(f"    why: {case.source}")


def _print_report(results: list[CaseResult], summary: Summary) -> None:
    console = Console()
    for result in results:
        if result.outcome in (Outcome.FAILED, Outcome.WARNED):
            colour = COLOURS[result.outcome]
            console.print(f"\n[{colour}]{result.outcome}[/] {result.case.name}")
            for line in explained(result).splitlines():
                typer.echo(f"  {printable(line)}")
    table = Table(title=f"conformance of {escape(summary.target)}", title_justify="left")
    table.add_column("case", overflow="fold")
    table.add_column("")
    table.add_column("outcome")
    table.add_column("s", justify="right")
    for number, result in enumerate(results):
        if number and result.group != results[number - 1].group:
            table.add_section()
        colour = COLOURS[result.outcome]
        table.add_row(
            result.case.name,
            str(result.case.requirement),
            f"[{colour}]{result.outcome}[/]",
            f"{result.duration_s:.2f}",
        )
    console.print()
    console.print(table)
    typer.echo(
        f"{summary.passed} passed, {summary.failed} failed, {summary.warned} warned, "
        f"{summary.skipped} skipped, in {summary.duration_s:.1f} s"
    )
