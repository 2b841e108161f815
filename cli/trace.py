"""`teltonika trace`: one device's frames, in the servers' logs and live."""

import asyncio
import contextlib
from typing import Annotated

import msgspec
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from teltonika.cli.errors import USAGE, fail
from teltonika.cli.event_loop import run
from teltonika.cli.output import print_json
from teltonika.cli.redis_options import (
    DEFAULTS,
    DataDirOption,
    KeyPrefixOption,
    PasswordFileOption,
    RedisOption,
    redis_url,
)
from teltonika.cli.until_stopped import run_until_stopped
from teltonika.codecs import parse_imei
from teltonika.codecs.printable import printable
from teltonika.server import ServerError
from teltonika.server.background import background
from teltonika.server.keys import Keys
from teltonika.server.lasting_link import LastingLink
from teltonika.server.trace_client import TraceClient, TracedDevice, TraceFollower

LOOK_S = 2.0
"""How often it is looked whether the device is traced still."""
TURN_OFF_S = 5.0
"""For Redis, at the end."""


def trace(
    context: typer.Context,
    imei: Annotated[
        str | None,
        typer.Argument(help="The device; without one, who is traced.", metavar="IMEI"),
    ] = None,
    off: Annotated[bool, typer.Option("--off", help="Trace it no more.")] = False,
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Show its frames here as they pass, to the byte, until Ctrl-C; then it is traced "
            "no more, unless it was before.",
        ),
    ] = False,
    redis: RedisOption = None,
    redis_password_file: PasswordFileOption = None,
    data_dir: DataDirOption = DEFAULTS.data_dir,
    key_prefix: KeyPrefixOption = DEFAULTS.key_prefix,
    json: Annotated[
        bool, typer.Option("--json", help="Print one object a device; with --follow, a frame.")
    ] = False,
) -> None:
    """Trace a device: each of its frames, in hex and in words, goes to the server's log.

    Servers that run see the change within two seconds. It goes on until --off.

    Example: teltonika trace 356307042441013 --follow
    """
    if imei is None and (off or follow):
        fail("--off and --follow: for which device?", USAGE)
    if off and follow:
        fail("--off and --follow: one of them at a time", USAGE)
    try:
        imei = None if imei is None else parse_imei(imei)
    except ValueError as error:
        fail(str(error), USAGE)
    url, keys = redis_url(context, redis, redis_password_file, data_dir), Keys(key_prefix)
    try:
        if imei is None:
            _print_traced(run(_traced(url, keys)), json=json)
        elif follow:
            run_until_stopped(_follow(url, keys, imei, json=json))
        else:
            _print_change(run(_change(url, keys, imei, on=not off)), json=json)
    except ServerError as error:
        fail(str(error))


class _Change(msgspec.Struct, frozen=True):
    """What the command has done."""

    imei: str
    traced: bool
    changed: bool
    """Whether it was different before."""
    instance_id: str | None
    """Who holds the device's connection."""


async def _traced(url: str, keys: Keys) -> list[TracedDevice]:
    async with LastingLink(url, _tell) as redis:
        return await TraceClient(redis, keys).traced()


async def _change(url: str, keys: Keys, imei: str, *, on: bool) -> _Change:
    async with LastingLink(url, _tell) as redis:
        client = TraceClient(redis, keys)
        changed = await (client.turn_on(imei) if on else client.turn_off(imei))
        return _Change(imei, on, changed, await client.holder(imei))


async def _follow(url: str, keys: Keys, imei: str, *, json: bool) -> None:
    async with (
        TraceFollower(url, keys, imei, _tell) as follower,
        LastingLink(url, _ignore) as redis,
    ):
        client = TraceClient(redis, keys)
        await follower.subscribe()
        was_off = await client.turn_on(imei)
        try:
            holder = await client.holder(imei)
            _tell(f"following {imei}, {_where(holder)}; Ctrl-C ends it")
            async with background(_show(follower, json=json)):
                await _turned_off(client, imei)
                _tell(f"{imei} is traced no more: it was taken out of {keys.traced}")
        finally:
            if was_off:
                await follower.close()
                await _turn_off(client, imei)


async def _turned_off(client: TraceClient, imei: str) -> None:
    """Return once somebody has: Redis does not say so by itself."""
    while True:
        await asyncio.sleep(LOOK_S)
        if not await client.is_on(imei):
            return


async def _show(follower: TraceFollower, *, json: bool) -> None:
    if json:
        while True:
            print_json(await follower.next_message())
    from teltonika.cli.trace_view import TraceView  # noqa: PLC0415 - heavy

    view = TraceView()
    while True:
        view.show(await follower.next_message())


async def _turn_off(client: TraceClient, imei: str) -> None:
    """Unless others follow it."""
    with contextlib.suppress(TimeoutError, ServerError):
        async with asyncio.timeout(TURN_OFF_S):
            others = await client.followers(imei)
            if not others:
                await client.turn_off(imei)
                return
            _tell(f"{imei} stays traced: it is followed elsewhere, too")
            return
    _tell(f"Redis is away, and {imei} stays traced: turn it off with trace {imei} --off")


def _print_traced(traced: list[TracedDevice], *, json: bool) -> None:
    if json:
        for device in traced:
            print_json(device)
        return
    if not traced:
        typer.echo("No device is traced.")
        return
    table = Table(box=SIMPLE_HEAD)
    table.add_column("IMEI")
    table.add_column("instance")
    for device in traced:
        table.add_row(
            Text(printable(device.imei)), Text(printable(device.instance_id or "not connected"))
        )
    Console().print(table)


def _print_change(change: _Change, *, json: bool) -> None:
    if json:
        print_json(change)
    elif not change.traced:
        was = "is traced no more" if change.changed else "was not traced"
        typer.echo(f"{change.imei} {was}")
    else:
        was = "is traced" if change.changed else "was traced already"
        typer.echo(
            f"{change.imei} {was}: its frames go to the server's log; {_where(change.instance_id)}"
        )


def _where(instance_id: str | None) -> str:
    if instance_id is None:
        return "it is not connected now"
    return f"it is connected to {printable(instance_id)}"


def _tell(sentence: str) -> None:
    typer.echo(f"teltonika: {sentence}", err=True)


def _ignore(_: str) -> None:
    pass
