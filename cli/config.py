"""`teltonika config`: the settings that `serve` would have, and where each comes from."""

import os
from enum import StrEnum
from typing import Annotated, TypeAlias

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text
from typer.core import TyperOption

from teltonika.cli.known_variables import UnknownVariable, unknown_variables
from teltonika.cli.output import print_json
from teltonika.cli.redis_options import has_secret
from teltonika.cli.serve import serve_settings
from teltonika.cli.shared_options import with_options_of
from teltonika.codecs.printable import printable
from teltonika.server import ServerSettings
from teltonika.server.redis_url import redacted_url

Value: TypeAlias = str | int | float | bool | None


class Origin(StrEnum):
    """Where a value comes from."""

    DEFAULT = "default"
    ENVIRONMENT = "environment"
    OPTION = "option"


_ORIGINS = {"COMMANDLINE": Origin.OPTION, "ENVIRONMENT": Origin.ENVIRONMENT}


class Setting(msgspec.Struct, frozen=True, tag_field="kind", tag="setting"):
    """One option of `serve`."""

    option: str
    variable: str
    value: Value
    origin: Origin
    meaning: str
    """What no value stands for."""
    password_hidden: bool
    section: str
    """Of the help page."""


@with_options_of(serve_settings)
def config(
    settings: ServerSettings,
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="Print one object a setting.")] = False,
) -> None:
    """Show the settings that `serve` would have with these options and this environment.

    Each with where it comes from: the default, an environment variable or an option. A password
    is never shown. A variable that begins with TELTONIKA_ and that no command knows is pointed out.

    Example: teltonika config --port 5028
    """
    found = _settings_of(context, settings)
    unknown = unknown_variables(os.environ)
    if json:
        for one in (*found, *unknown):
            print_json(one)
        return
    console = Console(highlight=False)
    console.print(_table(found))
    for variable in unknown:
        console.print(_sentence(variable), soft_wrap=True)


def _settings_of(context: typer.Context, settings: ServerSettings) -> list[Setting]:
    found = []
    for option in context.command.params:
        name = option.name
        if not isinstance(option, TyperOption) or name is None or name in ("json", "help"):
            continue
        source = context.get_parameter_source(name)
        value = context.params[name]
        if name == "stream_max_bytes":
            value = settings.stored_bytes  # its default depends on the machine
        is_url = name == "redis" and value is not None
        if is_url:
            value = redacted_url(value)
        found.append(
            Setting(
                option.opts[0],
                f"{context.auto_envvar_prefix}_{name.upper()}",
                value if isinstance(value, Value) else str(value),
                _ORIGINS.get(source.name if source else "", Origin.DEFAULT),
                option.show_default if isinstance(option.show_default, str) else "",
                is_url and has_secret(settings.redis_url or ""),  # also one from a file
                option.rich_help_panel or "",
            )
        )
    sections = list(dict.fromkeys(one.section for one in found))
    return sorted(found, key=lambda one: sections.index(one.section))


def _table(found: list[Setting]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("setting", no_wrap=True)
    table.add_column("value", overflow="fold")
    table.add_column("from", no_wrap=True)
    for one, following in zip(found, [*found[1:], None], strict=True):
        origin = {
            Origin.DEFAULT: Text("default", "dim"),
            Origin.ENVIRONMENT: Text(one.variable, "cyan"),
            Origin.OPTION: Text("option", "green"),
        }[one.origin]
        table.add_row(
            Text(one.option.removeprefix("--")),
            Text(_value(one), "dim" if one.origin is Origin.DEFAULT else ""),
            origin,
            end_section=following is not None and following.section != one.section,
        )
    return table


def _value(one: Setting) -> str:
    match one.value:
        case None | "":
            return f"({one.meaning})"
        case bool():
            return "yes" if one.value else "no"
        case float():
            return f"{one.value:g}"
    return printable(str(one.value)) + (" (password hidden)" if one.password_hidden else "")


def _sentence(variable: UnknownVariable) -> Text:
    likely = f"; is it to be {variable.likely}?" if variable.likely else ""
    text = f"{printable(variable.variable)}: no option of any command has this name{likely}"
    return Text(text, "yellow")
