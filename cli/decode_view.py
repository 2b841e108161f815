"""Findings as a person reads them."""

from rich.console import Console
from rich.text import Text

from teltonika.cli.finding_text import describe
from teltonika.codecs.findings import Finding


def console_for_findings() -> Console:
    """Standard output, as wide as it is now; a long line is the terminal's to fold."""
    return Console(highlight=False, soft_wrap=True)


def print_finding(console: Console, finding: Finding) -> None:
    """A line of where and what."""
    where = f"byte {finding.offset}, {finding.length} long: "
    what, colour = describe(finding)
    console.print(Text.assemble((where, "dim"), (what, f"bold {colour}")))


def print_cause(console: Console, cause: str) -> None:
    """What likely happened to what is broken, if anything is likely."""
    if cause:
        console.print(Text(f"likely: {cause}", "yellow"))
