"""`teltonika top`: instances, connections, rates and latencies at a glance."""

import asyncio
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from teltonika.cli.errors import fail
from teltonika.cli.event_loop import run
from teltonika.cli.numbers import a_number
from teltonika.cli.output import print_json
from teltonika.cli.redis_options import (
    DEFAULTS,
    DataDirOption,
    KeyPrefixOption,
    PasswordFileOption,
    RedisOption,
    TelemetryStreamOption,
    redis_url,
)
from teltonika.cli.top_view import top_view
from teltonika.cli.until_stopped import run_until_stopped
from teltonika.server import ServerError
from teltonika.server.keys import Keys
from teltonika.server.lasting_link import LastingLink
from teltonika.server.overview import Overview, OverviewReader


def top(
    context: typer.Context,
    interval: Annotated[
        float,
        typer.Option(callback=a_number, help="Seconds from one look to the next.", min=0.2),
    ] = 2.0,
    once: Annotated[
        bool, typer.Option("--once", help="Look once, and end; so it does without a terminal.")
    ] = False,
    redis: RedisOption = None,
    redis_password_file: PasswordFileOption = None,
    data_dir: DataDirOption = DEFAULTS.data_dir,
    key_prefix: KeyPrefixOption = DEFAULTS.key_prefix,
    telemetry_stream: TelemetryStreamOption = DEFAULTS.telemetry_stream,
    json: Annotated[
        bool, typer.Option("--json", help="Look once, and print what was seen as one object.")
    ] = False,
) -> None:
    """Watch all servers on one Redis: a page that stays in place, until Ctrl-C.

    Instances and their heartbeats, connections, records a second and how old
    they were, the noisiest and the slowest devices, commands in flight. All
    of it comes from Redis; each look reads 1,000 records at most.
    """
    url = redis_url(context, redis, redis_password_file, data_dir)
    reader = OverviewReader(Keys(key_prefix, telemetry_stream))
    console = Console(highlight=False)
    try:
        if json:
            print_json(run(_look(url, reader)))
        elif once or not console.is_terminal:
            console.print(top_view(run(_look(url, reader))))
        else:
            run_until_stopped(_Page(console, interval).show(url, reader))
    except ServerError as error:
        fail(str(error))


async def _look(url: str, reader: OverviewReader) -> Overview:
    async with LastingLink(url, lambda _: None) as redis:
        return await redis.ask(reader.read)


class _Page:
    """The terminal's whole page, drawn over the one before."""

    def __init__(self, console: Console, interval_s: float) -> None:
        self._live = Live(console=console, screen=True, auto_refresh=False)
        self._interval_s = interval_s
        self._overview: Overview | None = None
        self._note = ""

    async def show(self, url: str, reader: OverviewReader) -> None:
        """Until cancelled."""
        async with LastingLink(url, self._told) as redis:
            self._overview = await redis.ask(reader.read)  # before the page: it may fail
            with self._live:
                while True:
                    self._draw()
                    await asyncio.sleep(self._interval_s)
                    self._overview = await redis.ask(reader.read)
                    self._note = ""

    def _told(self, sentence: str) -> None:
        self._note = sentence
        self._draw()

    def _draw(self) -> None:
        if self._overview is not None:
            self._live.update(top_view(self._overview, self._note), refresh=True)
