"""How `teltonika emulate` is told what is to go wrong."""

from typing import Annotated, TypeAlias

import typer

from teltonika.cli.errors import USAGE, fail
from teltonika.emulator.faults import Fault, FaultPlan, parse_faults

FaultOption: TypeAlias = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=P,NAME@S",
        help="Let things go wrong, with a probability for each packet (crc=0.01) or once, so many "
        "seconds after the device began (rst@30). Names: "
        + ", ".join(fault.value for fault in Fault)
        + ". The seed decides.",
        show_default="none",
        rich_help_panel="Faults",
    ),
]


def fault_plan(texts: list[str] | None) -> FaultPlan:
    """Ends the command with a sentence where they are no faults."""
    try:
        return parse_faults(texts) if texts else FaultPlan()
    except ValueError as error:
        fail(f"--fault: {error}", USAGE)
