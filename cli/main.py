"""The `teltonika` command: its sub-commands, and the options that stand before them."""

from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup

from teltonika.cli.lazy_command import lazy_command
from teltonika.cli.standard_streams import standard_streams

COMMANDS = {
    "demo": "See it work: a server, its Valkey and a few devices.",
    "serve": "Store what devices send on a Redis stream, then acknowledge.",
    "config": "Show the settings that serve would have, and from where.",
    "doctor": "Find what is wrong with a server's set-up.",
    "emulate": "Be a device, or a fleet, for any server.",
    "conform": "Test any server against the protocol.",
    "replay": "Play the device's side of captured sessions.",
    "send": "Send a command to a connected device, print its answer.",
    "devices": "List the connected devices.",
    "top": "Watch all servers on one Redis at a glance.",
    "tail": "Follow the records of devices as they are stored.",
    "lag": "Show how far the stream's readers are behind.",
    "trace": "Show one device's frames, live and in the log.",
    "decode": "Show what stands in hex, a capture or a log, to the byte.",
    "io": "Look up IO elements: names, bytes, units.",
}
"""In the order of the help page, each with its line there, which must not wait for all of their
modules. Each has a module of its name, imported when it is needed: a device to be emulated does not
wait for what the server is made of."""


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
        return lazy_command(cmd_name, f"teltonika.cli.{cmd_name}")


app = typer.Typer(
    name="teltonika",
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,  # which would take half of the time of this page
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
