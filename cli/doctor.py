"""`teltonika doctor`: what is wrong with a server's set-up, and what to do about it."""

from textwrap import fill
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from teltonika.cli.errors import FAILED
from teltonika.cli.event_loop import run
from teltonika.cli.output import print_json
from teltonika.cli.serve import serve_settings
from teltonika.cli.shared_options import with_options_of
from teltonika.codecs.printable import printable
from teltonika.server import ServerSettings
from teltonika.server.doctor import Finding, Outcome, examine

STYLES = {Outcome.OK: "green", Outcome.WARNING: "yellow", Outcome.FAILURE: "bold red"}


@with_options_of(serve_settings)
def doctor(
    settings: ServerSettings,
    json: Annotated[bool, typer.Option("--json", help="Print one object a check.")] = False,
) -> None:
    """Find what is wrong with a server's set-up, before it is started or while it runs.

    Takes the options of `serve`. Looks at the Redis, the data directory, the machine's limits, the
    port and the certificate; changes nothing. Without --redis it is about the embedded Valkey.
    Exits with 1 if something is a failure, with 0 if nothing is or there are warnings only.

    Example: teltonika doctor --redis redis://localhost:6379/0
    """
    counts = dict.fromkeys(Outcome, 0)
    console = Console(highlight=False)

    def tell(finding: Finding) -> None:
        counts[finding.outcome] += 1
        if json:
            print_json(finding)
        else:
            _print(console, finding)

    run(examine(settings, tell))
    if not json:
        typer.echo(_summary(counts))
    if counts[Outcome.FAILURE]:
        raise typer.Exit(FAILED)


def _print(console: Console, finding: Finding) -> None:
    line = Text()
    line.append(f"{finding.outcome:<8}", STYLES[finding.outcome])
    line.append(f"{finding.check}: ", "bold")
    line.append(printable(finding.found))
    console.print(line, soft_wrap=True)
    if finding.advice:
        advice = fill(
            f"-> {printable(finding.advice)}",
            console.width,
            initial_indent=" " * 8,
            subsequent_indent=" " * 11,
            break_long_words=False,
            break_on_hyphens=False,
        )
        console.print(Text(advice, "dim"), soft_wrap=True)


def _summary(counts: dict[Outcome, int]) -> str:
    failures, warnings = counts[Outcome.FAILURE], counts[Outcome.WARNING]
    if not failures and not warnings:
        return "Nothing is wrong."
    return f"{failures} failed, {warnings} to look at."
