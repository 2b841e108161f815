"""The `teltonika` command: its sub-commands, and the options that stand before them."""

from importlib import import_module, metadata
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command, get_group

from teltonika.cli.standard_streams import standard_streams

COMMANDS = ("demo", "serve", "emulate", "conform", "replay", "send", "devices", "decode", "io")
"""In the order of the help page. Each has a module of its name, imported when it is needed: a
device to be emulated does not wait for what the server is made of."""


class _Commands(TyperGroup):
    """Finds a sub-command in its module: a function of that name, or an app with more of them."""

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"teltonika.cli.{cmd_name}")
        if hasattr(module, "app"):
            group = get_group(module.app)
            group.name = cmd_name
            return group
        # Every option of every command can come from TELTONIKA_<OPTION>: given to each command
        # itself, the prefix is taken as it is; given to the group, click would put the command's
        # name into it.
        single = _app()
        settings = {"auto_envvar_prefix": "TELTONIKA"}
        single.command(cmd_name, context_settings=settings)(getattr(module, cmd_name))
        return get_command(single)


def _app(**more: Any) -> typer.Typer:
    return typer.Typer(
        add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False, **more
    )


app = _app(
    name="teltonika",
    cls=_Commands,
    help="Toolkit for Teltonika back ends: an ingest server, a device emulator and a decoder.",
    epilog="Every option can also be set as TELTONIKA_<OPTION>, such as TELTONIKA_DATA_DIR.",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"teltonika {metadata.version('teltonika')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Say the version."),
    ] = False,
) -> None:
    pass


def main() -> None:
    with standard_streams():
        app()
