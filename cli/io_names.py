"""How commands are told to name IO elements, and by which model."""

from typing import Annotated, TypeAlias

import typer

from teltonika.cli.errors import USAGE, fail
from teltonika.codecs.io_catalog import io_catalog

NamesOption: TypeAlias = Annotated[
    bool,
    typer.Option(
        "--names",
        help="Give each IO element its name, its unit and its scaled value; by most models, or by "
        "--model.",
    ),
]

ModelOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="By which model IO elements are named, such as FMB920: an id can mean one thing on "
        "one model and another on another. [bold]teltonika io --models[/bold] lists them.",
        show_default="what most models mean",
    ),
]


def checked_model(model: str | None) -> str | None:
    """The model as the dictionary writes it. Ends the command with a sentence if it is none."""
    try:
        return None if model is None else io_catalog().known_model(model)
    except ValueError as error:
        fail(f"--model: {error}", USAGE)
