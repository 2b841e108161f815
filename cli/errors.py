"""Exit codes, and how a mistake reaches the user: one sentence on standard error."""

from typing import NoReturn

import typer

DONE = 0
FAILED = 1
"""The work failed: a packet that does not decode, a record that was never acknowledged."""
USAGE = 2
"""The command line is wrong."""


def fail(message: str, exit_code: int = FAILED) -> NoReturn:
    """Say why in one line and end the command."""
    typer.echo(f"teltonika: {message}", err=True)
    raise typer.Exit(exit_code)
