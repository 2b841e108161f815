"""`teltonika lag`: how far the readers of the telemetry stream are behind."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated

import typer
from rich.console import Console
from rich.live import Live

from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.event_loop import run
from teltonika.cli.lag_view import lag_view
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
from teltonika.cli.until_stopped import run_until_stopped
from teltonika.consumer.client import keys_there, open_client
from teltonika.consumer.lag import GroupLag, read_lag
from teltonika.server import ServerError
from teltonika.server.clients import AsyncClient, close_client
from teltonika.server.keys import Keys
from teltonika.server.lasting_link import ANSWER_TIMEOUT_S
from teltonika.server.refusals import FAILURES, in_words


def lag(
    context: typer.Context,
    group: Annotated[
        str | None, typer.Option(help="Only this group.", show_default="all groups")
    ] = None,
    max_lag: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="End with exit code 1 if a group has more than N records before it, or if "
            "[bold]--group[/bold] is not there.",
            min=0,
            show_default="never",
        ),
    ] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="A page that stays in place, until Ctrl-C.")
    ] = False,
    interval: Annotated[
        float,
        typer.Option(
            callback=a_number, help="With --watch: seconds from one look to the next.", min=0.2
        ),
    ] = 2.0,
    redis: RedisOption = None,
    redis_password_file: PasswordFileOption = None,
    data_dir: DataDirOption = DEFAULTS.data_dir,
    key_prefix: KeyPrefixOption = DEFAULTS.key_prefix,
    telemetry_stream: TelemetryStreamOption = DEFAULTS.telemetry_stream,
    stream_shards: Annotated[
        int | None,
        typer.Option(
            help="How many shards to look at, such as those before a change.",
            min=1,
            show_default="as many as there are",
        ),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="Print one object a group.")] = False,
) -> None:
    """Show how far the readers of the telemetry stream are behind.

    For each consumer group, and each shard of the stream: the records that
    were not delivered yet, those that were and are not acknowledged, how old
    the oldest of both is, and the group's consumers.

    Example, for a monitor: teltonika lag --group billing --max-lag 10000
    """
    if watch and (json or max_lag is not None):
        fail("--watch: not with --json or --max-lag, which look once", USAGE)
    url = redis_url(context, redis, redis_password_file, data_dir)
    reader = _Reader(Keys(key_prefix, telemetry_stream), stream_shards, group)
    try:
        if watch:
            run_until_stopped(_watch(url, reader, interval))
            return
        groups = run(_look(url, reader))
    except FAILURES as error:
        fail(f"Redis: {in_words(error)}")
    except ServerError as error:
        fail(str(error))
    if json:
        for one in groups:
            print_json(one)
    else:
        Console(highlight=False).print(lag_view(groups))
    if max_lag is not None:
        _check(groups, group, max_lag)


class _Reader:
    def __init__(self, keys: Keys, stream_shards: int | None, group: str | None) -> None:
        self._keys = keys
        self._stream_shards = stream_shards
        self._group = group

    async def read(self, client: AsyncClient) -> list[GroupLag]:
        try:
            async with asyncio.timeout(ANSWER_TIMEOUT_S):
                keys = await keys_there(client, self._keys, self._stream_shards)
                groups = await read_lag(client, keys)
        except TimeoutError as error:
            raise TimeoutError(in_words(error, ANSWER_TIMEOUT_S)) from None
        return [one for one in groups if self._group in (None, one.group)]


async def _look(url: str, reader: _Reader) -> list[GroupLag]:
    async with _opened(url) as client:
        return await reader.read(client)


async def _watch(url: str, reader: _Reader, interval_s: float) -> None:
    """Until cancelled."""
    async with _opened(url) as client:
        groups, note = await reader.read(client), ""  # before the page: it may fail
        with Live(console=Console(highlight=False), screen=True, auto_refresh=False) as live:
            while True:
                live.update(lag_view(groups, note), refresh=True)
                await asyncio.sleep(interval_s)
                try:
                    groups, note = await reader.read(client), ""
                except FAILURES as error:
                    note = f"Redis is away: {in_words(error)}"


@asynccontextmanager
async def _opened(url: str) -> AsyncIterator[AsyncClient]:
    client = open_client(url)
    try:
        yield client
    finally:
        await close_client(client)


def _check(groups: list[GroupLag], wanted: str | None, max_lag: int) -> None:
    """What is not known exactly counts as the most that it can be."""
    if wanted is not None and not groups:
        fail(f"no group {wanted} reads the telemetry stream")
    behind = [one for one in groups if one.lag_at_most > max_lag]
    if behind:
        told = ", ".join(
            f"{one.group} is {'' if one.lag is not None else 'up to '}{one.lag_at_most:,} behind"
            for one in behind
        )
        fail(f"{told}; at most {max_lag:,} are allowed", FAILED)
