"""How a command finds the Redis of a server: by URL, or by the server's data directory."""

from pathlib import Path
from typing import Annotated, TypeAlias

import typer

from teltonika.cli.errors import FAILED, USAGE, fail
from teltonika.server import ServerError, ServerSettings
from teltonika.server.embedded import running_url
from teltonika.server.redis_link import check_redis_url

DEFAULTS = ServerSettings()

RedisOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="URL of the servers' Redis.", show_default="the embedded one of the data directory"
    ),
]
DataDirOption: TypeAlias = Annotated[
    Path, typer.Option(help="Where a server with an embedded Valkey keeps its data.")
]
KeyPrefixOption: TypeAlias = Annotated[
    str, typer.Option(help="In front of every key in Redis.", show_default="none")
]


def redis_url(url: str | None, data_dir: Path) -> str:
    """The URL to open; ends the command with a sentence if there is none."""
    try:
        if url is not None:
            return check_redis_url(url)
        return running_url(data_dir)
    except ServerError as error:
        fail(str(error), USAGE if url is not None else FAILED)
