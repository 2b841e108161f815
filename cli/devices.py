"""`teltonika devices`: who is connected, where, since when."""

from typing import Annotated

import typer
from redis.exceptions import RedisClusterException, RedisError
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from teltonika.cli.errors import fail
from teltonika.cli.output import print_json
from teltonika.cli.redis_options import (
    DEFAULTS,
    DataDirOption,
    KeyPrefixOption,
    PasswordFileOption,
    RedisOption,
    redis_url,
)
from teltonika.codecs.printable import printable
from teltonika.server.client import CommandClient, ConnectedDevice
from teltonika.server.keys import Keys
from teltonika.server.refusals import in_words


def devices(
    context: typer.Context,
    redis: RedisOption = None,
    redis_password_file: PasswordFileOption = None,
    data_dir: DataDirOption = DEFAULTS.data_dir,
    key_prefix: KeyPrefixOption = DEFAULTS.key_prefix,
    json: Annotated[bool, typer.Option("--json", help="Print one object a device.")] = False,
) -> None:
    """List the connected devices: IMEI, instance, since when, commands that wait."""
    url = redis_url(context, redis, redis_password_file, data_dir)
    try:
        client = CommandClient(url, Keys(key_prefix))
        if json:
            for device in client.devices(_tell):
                print_json(device)
            return
        found = sorted(client.devices(_tell), key=lambda device: device.imei)
    except (RedisError, RedisClusterException) as error:
        fail(f"Redis: {in_words(error)}")
    Console().print(_table(found) if found else "No device is connected.")


def _tell(sentence: str) -> None:
    typer.echo(f"teltonika: {printable(sentence)}", err=True)


def _table(found: list[ConnectedDevice]) -> Table:
    table = Table(box=SIMPLE_HEAD)
    for heading in ("IMEI", "instance", "since", "pending commands"):
        table.add_column(heading, justify="right" if heading == "pending commands" else "left")
    for device in found:
        dead = "" if device.alive else " (no heartbeat)"
        since = device.since or "?"
        table.add_row(
            Text(printable(device.imei)),
            Text(printable(f"{device.instance_id}{dead}")),
            since,
            str(device.pending_commands),
        )
    return table
