"""How a command finds the Redis of a server: by URL, or by the server's data directory.

A password comes from the environment (TELTONIKA_REDIS) or from a file: every user of a machine can
read the command lines that run on it.
"""

from pathlib import Path
from typing import Annotated, TypeAlias
from urllib.parse import parse_qs, quote

import typer

from teltonika.cli.errors import USAGE, fail
from teltonika.server import ServerError, ServerSettings
from teltonika.server.embedded import running_url
from teltonika.server.redis_link import check_redis_url
from teltonika.server.redis_url import split_redis_url

DEFAULTS = ServerSettings()

RedisOption: TypeAlias = Annotated[
    str | None,
    typer.Option(
        help="URL of the servers' Redis: redis://, redis+sentinel:// or redis+cluster://.",
        show_default="the embedded one of the data directory",
    ),
]
PasswordFileOption: TypeAlias = Annotated[
    Path | None,
    typer.Option(help="File with the password of that Redis in its one line.", show_default="none"),
]
DataDirOption: TypeAlias = Annotated[
    Path, typer.Option(help="Where a server with an embedded Valkey keeps its data.")
]
KeyPrefixOption: TypeAlias = Annotated[
    str, typer.Option(help="In front of every key in Redis.", show_default="none")
]
TelemetryStreamOption: TypeAlias = Annotated[str, typer.Option(help="Name of the stream.")]


def redis_url(
    context: typer.Context, url: str | None, password_file: Path | None, data_dir: Path
) -> str:
    """The URL to open; ends the command with a sentence if there is none."""
    named = named_redis(context, url, password_file)
    if named is not None:
        return named
    try:
        return running_url(data_dir)
    except ServerError as error:
        fail(str(error))


def named_redis(context: typer.Context, url: str | None, password_file: Path | None) -> str | None:
    """The URL of the Redis that was named, with its password; None if none was.

    Ends the command with a sentence if something is wrong with it.
    """
    if url is None:
        if password_file is not None:
            fail("--redis-password-file: for which Redis? Name it with --redis", USAGE)
        return None
    try:
        check_redis_url(url)
    except ServerError as error:
        fail(str(error), USAGE)
    source = context.get_parameter_source("redis")
    if has_secret(url) and source is not None and source.name == "COMMANDLINE":
        fail(
            "--redis: every user of this machine can read a command line, and so the password in "
            "it: set TELTONIKA_REDIS to the URL, or name a --redis-password-file",
            USAGE,
        )
    if password_file is None:
        return url
    if has_password(url):
        fail("--redis-password-file: the URL has a password already", USAGE)
    joint = "&" if split_redis_url(url).query else "?"
    return f"{url}{joint}password={quote(_read_password(password_file), safe='')}"


def has_secret(url: str) -> bool:
    """Whether a URL that `check_redis_url` took has a password, of Redis or of its Sentinels."""
    options = parse_qs(split_redis_url(url).query)
    return has_password(url) or any(name.endswith("password") for name in options)


def has_password(url: str) -> bool:
    """Whether it has a password of Redis, wherever in it."""
    parts = split_redis_url(url)
    return bool(parts.password or "password" in parse_qs(parts.query))


def _read_password(file: Path) -> str:
    try:
        lines = file.read_text().splitlines()
    except OSError as error:
        fail(f"--redis-password-file: {file}: {error.strerror}", USAGE)
    except UnicodeDecodeError:
        fail(f"--redis-password-file: {file}: expected text", USAGE)
    if len(lines) != 1 or not lines[0]:
        fail(f"--redis-password-file: {file}: expected one line, found {len(lines)}", USAGE)
    return lines[0]
