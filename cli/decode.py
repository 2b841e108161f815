"""`teltonika decode`: what stands in a hex string."""

import codecs
import sys
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.main import get_command

from teltonika.cli.decode_view import print_finding
from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.output import print_json
from teltonika.codecs import MAX_PACKET_SIZE
from teltonika.codecs.findings import FoundError, find_packets, found_error
from teltonika.codecs.hextext import HexTextError, parse_hex_text

DEFAULT_COMMAND = "hexdump"
_LAZY = ("pcap", "log")
"""Each a function of that name in a module that is imported only when it is needed."""


class _DefaultsToHexdump(TyperGroup):
    """`teltonika decode HEX` is `teltonika decode hexdump HEX`."""

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *_LAZY]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name not in _LAZY:
            return super().get_command(ctx, cmd_name)
        module = import_module(f"teltonika.cli.decode_{cmd_name}")
        single = typer.Typer(
            add_completion=False, rich_markup_mode="rich", pretty_exceptions_enable=False
        )
        settings = {"auto_envvar_prefix": "TELTONIKA", "help_option_names": ["-h", "--help"]}
        single.command(cmd_name, context_settings=settings)(getattr(module, cmd_name))
        return get_command(single)

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        asks_for_help = args[:1] in (["-h"], ["--help"])
        piped = not args and not sys.stdin.isatty()
        named = args[:1] and args[0] in (*self.commands, *_LAZY)
        if piped or (args and not named and not asks_for_help):
            args = [DEFAULT_COMMAND, *args]
        rest: list[str] = super().parse_args(ctx, args)
        return rest


app = typer.Typer(
    cls=_DefaultsToHexdump,
    help="Show what stands in hex, to the byte. [bold]teltonika decode HEX[/bold] is short for "
    "[bold]teltonika decode hexdump HEX[/bold].",
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.command(
    DEFAULT_COMMAND,
    context_settings={"auto_envvar_prefix": "TELTONIKA"},
    epilog="For example: [bold]teltonika decode 000F333536333037303432343431303133[/bold], or "
    "[bold]xxd capture.bin | teltonika decode --json[/bold]",
)
def hexdump(
    hex_text: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="HEX",
            help="Hex, in one argument or several; without it --file, or standard input.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Read the hex from a file; - is standard input.", show_default=False),
    ] = None,
    json: Annotated[
        bool, typer.Option("--json", help="Print NDJSON: one object for each thing found.")
    ] = False,
    max_packet_size: Annotated[
        int, typer.Option(help="Largest packet that is believed, in bytes.", min=12)
    ] = MAX_PACKET_SIZE,
) -> None:
    """Decode hex: handshakes, AVL packets, acknowledgements, pings, several in a row.

    Plain hex, with or without spaces, newlines and 0x, or the output of xxd or hexdump -C.
    What decoded before an error is printed, then the error; the exit code is 1 then.
    """
    if hex_text and file is not None:
        fail("give the hex as an argument or with --file, not both", USAGE)
    text = " ".join(hex_text) if hex_text else _read(file or Path("-"))
    show = print_json if json else print_finding
    broken: HexTextError | None = None
    try:
        data = parse_hex_text(text)
    except HexTextError as error:
        broken, data = error, error.data
    if not data and broken is None:
        fail("there is no hex to decode", USAGE)
    failed = False
    for finding in find_packets(data, max_packet_size):
        if (
            broken
            and isinstance(finding, FoundError)
            and finding.length + finding.offset == len(data)
        ):
            break  # what is missing is behind the text that is not hex
        show(finding)
        failed = failed or isinstance(finding, FoundError)
    if broken:
        if json:
            print_json(found_error(broken, broken.offset))
        fail(f"the input is not hex: {broken.message}", FAILED)
    if failed:
        raise typer.Exit(FAILED)


def _read(file: Path) -> str:
    """The text of a file, or of standard input: a character for each byte."""
    piped = str(file) == "-"
    try:
        content = sys.stdin.buffer.read() if piped else file.read_bytes()
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}", USAGE)
    return content.removeprefix(codecs.BOM_UTF8).decode(
        "latin-1"
    )  # the parser names what is not hex
