"""`teltonika decode`: what stands in a hex string."""

import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from teltonika.cli.decode_output import output_of
from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.hex_input import hex_rows
from teltonika.cli.io_names import ModelOption, NamesOption, checked_model
from teltonika.cli.lazy_command import lazy_command
from teltonika.codecs import MAX_PACKET_SIZE
from teltonika.codecs.findings import FoundError
from teltonika.codecs.hextext import HexTextError, Row, parse_hex_rows
from teltonika.codecs.packet_finder import find_in_pieces
from teltonika.codecs.transport import Side, Transport

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
        return lazy_command(cmd_name, f"teltonika.cli.decode_{cmd_name}")

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
    help="Show what stands in hex, a capture or a log, to the byte. "
    "[bold]teltonika decode HEX[/bold] is short for [bold]teltonika decode hexdump HEX[/bold].",
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
            help="Hex, in one argument or several; without it --file; without both, or with -, "
            "standard input.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="Read the hex from a file; - is standard input.", show_default=False),
    ] = None,
    brief: Annotated[
        bool, typer.Option("--brief", help="Print a line for each thing, without its bytes.")
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="Print NDJSON: one object for each thing found.")
    ] = False,
    fields: Annotated[
        bool, typer.Option("--fields", help="With --json: every byte, field by field, as well.")
    ] = False,
    csv: Annotated[
        bool, typer.Option("--csv", help="Print the AVL records as CSV, and nothing else.")
    ] = False,
    names: NamesOption = False,
    model: ModelOption = None,
    lenient: Annotated[
        bool,
        typer.Option(
            "--lenient",
            help="Take what can be read of broken packets, and read on behind bytes that nothing "
            "begins with. The exit code is 1 all the same.",
        ),
    ] = False,
    transport: Annotated[
        Transport | None,
        typer.Option(help="How the bytes were sent.", show_default="found out"),
    ] = None,
    sender: Annotated[
        Side | None,
        typer.Option(
            "--from",
            help="Who sent them.",
            envvar="TELTONIKA_FROM",
            show_default="found out, or both in turn",
        ),
    ] = None,
    max_packet_size: Annotated[
        int, typer.Option(help="Largest packet that is believed, in bytes.", min=12)
    ] = MAX_PACKET_SIZE,
) -> None:
    """Decode hex: handshakes, AVL packets, acknowledgements, pings, several in a row.

    Plain hex, with or without spaces, newlines and 0x, or the output of xxd, hexdump -C or
    Wireshark. Each thing is shown to the byte: offset, bytes, field, value, and what it means. What
    decoded before an error is printed, then where it went wrong, and why; the exit code is 1 then.
    """
    if sum((brief, json, csv)) > 1:
        fail("--brief, --json and --csv: one of them at a time", USAGE)
    if fields and not json:
        fail("--fields goes with --json", USAGE)
    output = output_of(
        brief=brief,
        json=json,
        fields=fields,
        csv=csv,
        names=names or model is not None,
        model=checked_model(model),
        lenient=lenient,
    )
    text = _HexText(hex_rows(hex_text, file))
    found_any = failed = False
    for found in find_in_pieces(
        text.pieces(), max_packet_size, transport=transport, sender=sender, lenient=lenient
    ):
        found_any = True
        error = found.finding if isinstance(found.finding, FoundError) else None
        if text.broken and error and error.offset + error.length == text.broken.offset:
            break  # what is missing is behind the text that is not hex
        output.show(found)
        failed = failed or error is not None
    if text.broken:
        output.show_bad_hex(text.broken)
        fail(f"the input is not hex: {text.broken.message}", FAILED)
    if not found_any:
        fail("there is no hex to decode", USAGE)
    if failed:
        raise typer.Exit(FAILED)


class _HexText:
    """Rows of hex as bytes, and where they stop being hex."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.broken: HexTextError | None = None

    def pieces(self) -> Iterator[bytes]:
        """Those that can be read."""
        try:
            yield from parse_hex_rows(self._rows)
        except HexTextError as error:
            self.broken = error
