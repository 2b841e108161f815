"""One pipelined connection to Redis, on redis-py's own: it brings URL, authentication and TLS.

redis-py packs and reads one command at a time; here commands are packed by hiredis and many are
on their way at once, because redis-py's pipeline costs about eight times the CPU for each.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from typing import TypeAlias

import hiredis
from redis.asyncio import ConnectionPool
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from teltonika.server.deployment import Deployment, OneServer, Place, deployment_of
from teltonika.server.errors import InvalidRedisUrlError

Reply: TypeAlias = "bytes | int | str | list[Reply] | None"

CONNECT_TIMEOUT_S = 5.0
"""For the socket."""
REPLY_TIMEOUT_S = 30.0
"""Without an answer for so long a connection is dead and does not say so."""


def check_redis_url(url: str) -> str:
    """``url`` if redis-py opens it; raises InvalidRedisUrlError, which does not repeat it.

    What does not parse may be a password with a character in it that ends the password.
    """
    try:
        deployment = deployment_of(url)
        parsed = deployment.url
        RedisLink(Place(url if isinstance(deployment, OneServer) else parsed.at("localhost", 1)))
    except (ValueError, TypeError, AttributeError, RedisError):  # each is said of some wrong option
        raise InvalidRedisUrlError(
            "not a Redis URL: expected redis://host:6379/0, rediss://…, unix:///path, "
            "redis+sentinel://host:26379,host/NAME or redis+cluster://host:6379,host, with "
            "options that redis-py knows; in a password write / # ? @ : as %2F %23 %3F %40 %3A"
        ) from None
    return url


def pack_command(*arguments: str | bytes | int) -> bytes:
    """A command as the bytes that go to Redis."""
    packed: bytes = hiredis.pack_command(arguments)  # type: ignore[arg-type]  # a union, it says
    return packed


class RedisLink:
    """A connection whose commands and replies are apart: write many, then read as many.

    Raises RedisError or OSError from every method when the connection fails; then it is of no
    more use. A reply that is an error raises redis-py's ResponseError and leaves the link usable.
    """

    def __init__(self, place: Place) -> None:
        self._asking = place.asking
        pool = ConnectionPool.from_url(
            place.url,
            socket_connect_timeout=CONNECT_TIMEOUT_S,
            socket_timeout=None,  # whoever waits for a reply knows how long
            # a unix socket's other end can't vanish, and redis-py refuses the option for it
            **({} if place.url.startswith("unix://") else {"socket_keepalive": True}),
            health_check_interval=0,
            protocol=2,  # lists, where RESP3 has maps
            retry=Retry(NoBackoff(), 0),  # whoever connects knows when to try again
        )
        self._connection: AbstractConnection = pool.make_connection()  # type: ignore[no-untyped-call]

    async def connect(self) -> None:
        await self._connection.connect()  # type: ignore[no-untyped-call]

    async def write(self, commands: Sequence[bytes]) -> None:
        """Send packed commands; returns when the socket took them, not when Redis did."""
        if self._asking:
            commands = [ASKING + command for command in commands]
        try:
            await self._connection.send_packed_command(b"".join(commands), check_health=False)
        except RuntimeError as error:  # what uvloop says of a transport that it has closed
            raise ConnectionResetError(str(error)) from error

    async def read_reply(self) -> Reply:
        """The next reply, in the order of the commands."""
        if self._asking:
            await self._connection.read_response(disable_decoding=True)
        reply: Reply = await self._connection.read_response(disable_decoding=True)
        return reply

    async def execute(self, *arguments: str | bytes | int) -> Reply:
        """One command, and its reply. Not while others are on their way."""
        await self.write((pack_command(*arguments),))
        return await self.read_reply()

    async def close(self) -> None:
        with contextlib.suppress(RedisError, OSError):
            await self._connection.disconnect(nowait=True)


ASKING = pack_command("ASKING")
"""In front of a command to a node that is being given its slot."""


@contextlib.asynccontextmanager
async def open_link(place: Place) -> AsyncIterator[RedisLink]:
    """A link that is connected, and closed in the end."""
    link = RedisLink(place)
    try:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            await link.connect()
        yield link
    finally:
        await link.close()


@contextlib.asynccontextmanager
async def open_at(redis: Deployment, key: str) -> AsyncIterator[RedisLink]:
    """A link to the server that has a key; if anything fails the next may be another."""
    try:
        async with open_link(await redis.locate(key)) as link:
            yield link
    except (RedisError, OSError) as error:
        redis.failed(error)
        raise
