"""`teltonika tail`: the telemetry stream as it grows."""

import sys
from typing import Annotated

import typer

from teltonika.cli.errors import USAGE, fail
from teltonika.cli.io_names import ModelOption, NamesOption, checked_model
from teltonika.cli.redis_options import (
    DEFAULTS,
    DataDirOption,
    KeyPrefixOption,
    PasswordFileOption,
    RedisOption,
    TelemetryStreamOption,
    redis_url,
)
from teltonika.cli.since import parse_since
from teltonika.cli.tail_view import TailView
from teltonika.cli.until_stopped import run_until_stopped
from teltonika.codecs import parse_imei
from teltonika.server import ServerError
from teltonika.server.follow import Start, StreamEntry, following
from teltonika.server.keys import Keys
from teltonika.server.telemetry import EntryError


def tail(
    context: typer.Context,
    imei: Annotated[
        list[str] | None,
        typer.Option(
            metavar="IMEI",
            help="Only records of this device; of several if it is given more than once.",
            show_default="all devices",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="AGE|TIME",
            help="Begin with what came in the last 90s, 30m, 1h or 2d, or since a time (ISO 8601).",
            show_default="only what comes from now on",
        ),
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="End after so many records.", min=1, show_default="never")
    ] = None,
    io: Annotated[
        list[int] | None,
        typer.Option(
            metavar="ID",
            help="Show this IO element; several if it is given more than once.",
            show_default="ignition, movement, GSM signal, voltages, odometer",
        ),
    ] = None,
    names: NamesOption = False,
    model: ModelOption = None,
    redis: RedisOption = None,
    redis_password_file: PasswordFileOption = None,
    data_dir: DataDirOption = DEFAULTS.data_dir,
    key_prefix: KeyPrefixOption = DEFAULTS.key_prefix,
    telemetry_stream: TelemetryStreamOption = DEFAULTS.telemetry_stream,
    json: Annotated[
        bool, typer.Option("--json", help="Print each entry as one object, with all of it.")
    ] = False,
) -> None:
    """Follow the telemetry stream: a line for each record, as it is stored.

    When it was, which device, where, how fast, by which event, and a few IO
    elements. Goes on until Ctrl-C; where Redis goes away it waits and reads on.

    Example: teltonika tail --imei 356307042441013 --since 1h --names
    """
    try:
        wanted = frozenset(map(parse_imei, imei or ()))
    except ValueError as error:
        fail(f"--imei: {error}", USAGE)
    try:
        start = Start() if since is None else parse_since(since)
    except ValueError as error:
        fail(f"--since: {error}", USAGE)
    url = redis_url(context, redis, redis_password_file, data_dir)
    view = TailView(io or (), checked_model(model), names=names or model is not None)
    show = _Show(view, wanted, count, json=json)
    try:
        run_until_stopped(_follow(url, Keys(key_prefix, telemetry_stream), start, show))
    except ServerError as error:
        fail(str(error))


class _Show:
    """Prints what is wanted of what comes."""

    def __init__(
        self, view: TailView, wanted: frozenset[str], count: int | None, *, json: bool
    ) -> None:
        self._view = view
        self._wanted = wanted
        self._left = count
        self._json = json

    @property
    def is_done(self) -> bool:
        return self._left == 0

    def page(self, page: list[StreamEntry]) -> None:
        for entry in page:
            if self.is_done:
                break
            if self._wanted and _device_of(entry) not in self._wanted:
                continue
            try:
                if self._json:
                    self._view.write_json(entry)
                else:
                    sys.stdout.write(f"{self._view.line(entry)}\n")
            except EntryError as error:
                _tell(f"entry {entry.entry_id} is no telemetry: {error}")
                continue
            if self._left is not None:
                self._left -= 1
        sys.stdout.flush()


async def _follow(url: str, keys: Keys, start: Start, show: _Show) -> None:
    async with following(url, keys, start, _tell) as next_page:
        while not show.is_done:
            show.page(await next_page())


def _device_of(entry: StreamEntry) -> str:
    return entry.fields.get(b"device_id", b"").decode("ascii", "replace")


def _tell(sentence: str) -> None:
    typer.echo(f"teltonika: {sentence}", err=True)
