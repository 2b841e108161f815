"""The `teltonika` command: its sub-commands, and the options that stand before them."""

from importlib import metadata
from typing import Annotated

import typer

from teltonika.cli import decode, demo, devices, emulate, send, serve
from teltonika.cli.standard_streams import standard_streams

# Every option of every command can come from TELTONIKA_<OPTION>: given to each command itself,
# the prefix is taken as it is; given to the group, click would put the command's name into it.
COMMAND_SETTINGS = {"auto_envvar_prefix": "TELTONIKA"}

app = typer.Typer(
    name="teltonika",
    help="Toolkit for Teltonika back ends: an ingest server, a device emulator and a decoder.",
    epilog="Every option can also be set as TELTONIKA_<OPTION>, such as TELTONIKA_DATA_DIR.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command(context_settings=COMMAND_SETTINGS)(demo.demo)
app.command(context_settings=COMMAND_SETTINGS)(serve.serve)
app.command(context_settings=COMMAND_SETTINGS)(emulate.emulate)
app.command(context_settings=COMMAND_SETTINGS)(send.send)
app.command(context_settings=COMMAND_SETTINGS)(devices.devices)
app.add_typer(decode.app, name="decode")


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
