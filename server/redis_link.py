"""One pipelined connection to Redis, on redis-py's own: it brings URL, authentication and TLS.

redis-py packs and reads one command at a time; here commands are packed by hiredis and many are
on their way at once, because redis-py's pipeline costs about eight times the CPU for each.
"""

import contextlib
from typing import TypeAlias
from urllib.parse import urlsplit

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from teltonika.server.errors import InvalidRedisUrlError

Reply: TypeAlias = "bytes | int | str | list[Reply] | None"

CONNECT_TIMEOUT_S = 5.0


def check_redis_url(url: str) -> str:
    """``url`` if redis-py opens it; raises InvalidRedisUrlError."""
    try:
        ConnectionPool.from_url(url)
    except ValueError as error:
        raise InvalidRedisUrlError(f"{redacted_url(url)!r} is no Redis URL: {error}") from None
    return url


def redacted_url(url: str) -> str:
    """``url`` without its password."""
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        return url
    if password is None:
        return url
    user_host = parts.netloc.rpartition("@")
    user = user_host[0].partition(":")[0]
    netloc = f"{user}@{user_host[2]}" if user else user_host[2]
    return parts._replace(netloc=netloc).geturl()


def pack_command(*arguments: str | bytes | int) -> bytes:
    """A command as the bytes that go to Redis."""
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]  # a union, it says
    return packed


class RedisLink:
    """A connection whose commands and replies are apart: write many, then read as many.

    Raises RedisError or OSError from every method when the connection fails; then it is of no
    more use. A reply that is an error raises redis-py's ResponseError and leaves the link usable.
    """

    def __init__(self, url: str) -> None:
        pool = ConnectionPool.from_url(
            url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=None,  # whoever waits for a reply knows how long
            # a unix socket's other end can't vanish, and redis-py refuses the option for it
            **({} if url.startswith("unix://") else {"socket_keepalive": True}),
            health_check_interval=0,
            retry=Retry(NoBackoff(), 0),  # whoever connects knows when to try again
        )
        self._connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]

    async def connect(self) -> None:
        await self._connection.connect()  # type: ignore[no-untyped-call]

    async def write(self, packed: bytes) -> None:
        """Send packed commands; returns when the socket took them, not when Redis did."""
        await self._connection.send_packed_command(packed, check_health=False)

    async def read_reply(self) -> Reply:
        """The next reply, in the order of the commands."""
        reply: Reply = await self._connection.read_response(disable_decoding=True)
        return reply

    async def execute(self, *arguments: str | bytes | int) -> Reply:
        """One command, and its reply. Not while others are on their way."""
        await self.write(pack_command(*arguments))
        return await self.read_reply()

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)
