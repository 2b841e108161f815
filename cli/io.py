"""`teltonika io`: what IO elements are called and mean."""

from typing import Annotated

import msgspec
import typer

from teltonika.cli.errors import USAGE, fail
from teltonika.cli.io_names import checked_model
from teltonika.cli.io_view import IoRow, print_meanings, print_table
from teltonika.cli.output import print_json
from teltonika.codecs.io_catalog import io_catalog
from teltonika.codecs.io_search import is_io_id, near_words, search_io


class ModelRow(msgspec.Struct, frozen=True):
    """A model, and how many IO elements the dictionary has of it."""

    model: str
    elements: int


def io(
    query: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="ID|WORD...",
            help="An id, or words that the name has, such as [bold]66[/bold] or [bold]battery "
            "voltage[/bold]; without it, with --model, all of the model.",
            show_default=False,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Only what holds for this model, such as FMB920.", show_default="all"),
    ] = None,
    models: Annotated[
        bool, typer.Option("--models", help="List the models that the dictionary knows.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print NDJSON: one object a meaning, or a model.")
    ] = False,
) -> None:
    """Look up IO elements: names, bytes, units, multipliers, what single values mean.

    One id can mean one thing on one model and another on another: each meaning is a row.
    """
    text = " ".join(query or [])
    if models:
        if text or model:
            fail("--models: it takes no other option but --json, and no id or word", USAGE)
        _print_models(json=json)
        return
    known = checked_model(model)
    if not text.strip() and known is None:
        fail("say an id, words of a name, a --model, or --models", USAGE)
    rows = search_io(text, known)
    if not rows:
        fail(_nothing(text, known))
    if json:
        for row in rows:
            print_json(IoRow.of(row))
    elif is_io_id(text):
        print_meanings(rows)
    else:
        print_table(rows)


def _print_models(*, json: bool) -> None:
    catalog = io_catalog()
    for model in sorted(catalog.models):
        if json:
            print_json(ModelRow(model, len(catalog.names(model))))
        else:
            typer.echo(model)


def _nothing(text: str, model: str | None) -> str:
    """That nothing was found, and what else there is."""
    what = f"has the id {text}" if is_io_id(text) else f"is called {text!r}"
    sentence = f"no IO element{f' of {model}' if model else ''} {what}"
    if elsewhere := search_io(text):
        return f"{sentence}; other models have {elsewhere[0].id}, {elsewhere[0].name}"
    near = near_words(text)
    return f"{sentence}; words like it: {', '.join(near)}" if near else sentence
