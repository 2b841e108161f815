"""`teltonika send`: one command to one device, and its answer."""

import time
import uuid
from typing import Annotated

import typer
from redis.exceptions import RedisClusterException, RedisError

from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.cli.numbers import a_number
from teltonika.cli.output import print_json
from teltonika.cli.redis_options import (
    DEFAULTS,
    DataDirOption,
    KeyPrefixOption,
    PasswordFileOption,
    RedisOption,
    redis_url,
)
from teltonika.codecs import COMMAND_CODECS, parse_imei
from teltonika.codecs.printable import printable
from teltonika.codecs.timestamps import format_timestamp
from teltonika.server.client import TERMINAL, CommandClient, NotConnectedError
from teltonika.server.command import MAX_TIMEOUT_S, CommandEntry
from teltonika.server.keys import Keys
from teltonika.server.refusals import in_words

SLACK_S = 10.0
"""For the server, and for a command before this one, beyond the command's own times."""


def send(
    context: typer.Context,
    imei: Annotated[str, typer.Argument(help="The device: 15 digits.", metavar="IMEI")],
    command: Annotated[str, typer.Argument(help="Such as getinfo.", metavar="COMMAND")],
    codec: Annotated[str, typer.Option(help="12 or 14.")] = "12",
    timeout: Annotated[
        float,
        typer.Option(
            callback=a_number,
            help="Seconds to wait for the answer, once it is written.",
            min=0.1,
            max=MAX_TIMEOUT_S,
        ),
    ] = DEFAULTS.command_timeout_s,
    expires_in: Annotated[
        float,
        typer.Option(
            callback=a_number,
            help="Seconds after which it is not written any more.",
            min=0.1,
            max=MAX_TIMEOUT_S,
        ),
    ] = 60.0,
    redis: RedisOption = None,
    redis_password_file: PasswordFileOption = None,
    data_dir: DataDirOption = DEFAULTS.data_dir,
    key_prefix: KeyPrefixOption = DEFAULTS.key_prefix,
    json: Annotated[
        bool, typer.Option("--json", help="Print each status as one object, as it comes.")
    ] = False,
) -> None:
    """Send a command to a connected device and print what it answers.

    Finds the instance that holds the device, publishes the command to it and
    waits for its end. Exits with 1, and the reason in one line, if there is
    no answer.

    Example: teltonika send 356307042441013 getinfo
    """
    try:
        parse_imei(imei)
    except ValueError as error:
        fail(str(error), USAGE)
    try:
        COMMAND_CODECS.by_name(codec)
    except ValueError as error:
        fail(f"--codec: {error}", USAGE)
    url = redis_url(context, redis, redis_password_file, data_dir)
    expires_ms = time.time_ns() // 1_000_000 + round(expires_in * 1000)
    entry = CommandEntry(
        command_id=str(uuid.uuid4()),
        imei=imei,
        payload=command,
        codec=codec,
        expires_at=format_timestamp(expires_ms),
        timeout_s=f"{timeout:g}",
    )
    try:
        status = _follow(CommandClient(url, Keys(key_prefix)), entry, expires_in + timeout, json)
    except NotConnectedError as error:
        if json:
            print_json(_not_sent(entry, str(error)))
        fail(f"not_connected: {error}")
    except (RedisError, RedisClusterException) as error:
        fail(f"Redis: {in_words(error)}")
    except KeyboardInterrupt:
        fail("interrupted: the command may still be executed", 130)
    if status.get("status") not in TERMINAL:
        fail(f"no end of the command came in {expires_in + timeout + SLACK_S:g} s")
    if status["status"] == "failed":
        detail = status.get("detail")
        fail(f"{status.get('reason')}: {detail}" if detail else f"{status.get('reason')}", FAILED)
    if not json:
        for line in status.get("response", "").splitlines():
            typer.echo(printable(line))


def _follow(
    client: CommandClient,
    command: CommandEntry,
    wait_s: float,
    json: bool,
) -> dict[str, str]:
    """The last status that came."""
    status: dict[str, str] = {}
    instance_id = client.instance_of(command.imei)
    for status in client.send(instance_id, command, wait_s + SLACK_S):
        if json:
            print_json(status)
    return status


def _not_sent(command: CommandEntry, detail: str) -> dict[str, str]:
    """The status of a command that no instance could be found for."""
    kept = {"command_id": command.command_id, "imei": command.imei, "codec": command.codec}
    return kept | {"status": "failed", "reason": "not_connected", "detail": detail}
