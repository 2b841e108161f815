"""The `teltonika` command: its sub-commands, and the options that stand before them."""

from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_command, get_group

from teltonika.cli.standard_streams import standard_streams

COMMANDS = {
    "demo": "See it work: a server with its embedded Valkey and a few emulated devices.",
    "serve": "Take packets from devices, store every record on a Redis stream, then acknowledge.",
    "emulate": "Be a device, or a fleet: connect, drive, send AVL records and wait for each "
    "acknowledgement.",
    "conform": "Test any server that takes Teltonika devices against the protocol.",
    "replay": "Play the device's side of captured sessions, and compare the answers with those "
    "captured.",
    "send": "Send a command to a connected device and print what it answers.",
    "devices": "List the connected devices: IMEI, instance, since when, commands that wait.",
    "decode": "Show what stands in hex, to the byte. [bold]teltonika decode HEX[/bold] is short "
    "for [bold]teltonika decode hexdump HEX[/bold].",
    "io": "Look up IO elements: names, bytes, units, multipliers, what single values mean.",
}
"""In the order of the help page, each with the first sentence of its own, which must not wait for
all of their modules. Each has a module of its name, imported when it is needed: a device to be
emulated does not wait for what the server is made of."""


class _Commands(TyperGroup):
    """Finds a sub-command in its module: a function of that name, or an app with more of them."""

    _shows_help = False

    def list_commands(self, ctx: Any) -> list[str]:
        return list(COMMANDS)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self._shows_help = True
        super().format_help(ctx, formatter)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in COMMANDS:
            return None
        if self._shows_help:
            return TyperCommand(cmd_name, help=COMMANDS[cmd_name])
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
        from importlib import metadata  # noqa: PLC0415 - for this alone

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
