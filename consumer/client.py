"""redis-py's client as consumers need it: it tells of each failure, and never asks twice."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from teltonika.server.clients import AsyncClient, async_client
from teltonika.server.keys import Keys

CONNECT_TIMEOUT_S = 5.0
REPLY_TIMEOUT_S = 30.0
"""Without an answer for so long a connection is dead and does not say so."""

AnswerT = TypeVar("AnswerT")


def open_client(url: str) -> AsyncClient:
    """It connects with its first command. Raises ValueError for a URL that is none."""
    return async_client(
        url,
        protocol=2,
        # a command that is sent again after a lost reply would skip what that one brought
        retry=Retry(NoBackoff(), 0),
        socket_timeout=None,  # with one, redis-py can lose a cancellation in Python 3.11
        socket_connect_timeout=CONNECT_TIMEOUT_S,
    )


async def answer_to(asked: Awaitable[AnswerT]) -> Any:
    """The reply to a command, as redis-py reads it: its types leave that open.

    Raises what redis-py raises, and TimeoutError.
    """
    try:
        async with asyncio.timeout(REPLY_TIMEOUT_S):
            return await asked
    except RuntimeError as error:  # what uvloop says of a transport that it has closed
        raise ConnectionResetError(str(error)) from error


async def keys_there(client: AsyncClient, keys: Keys, stream_shards: int | None) -> Keys:
    """The same with as many shards as are given, or else as Redis says."""
    if stream_shards:
        return keys.with_shards(stream_shards)
    return keys.with_recorded_shards(await answer_to(client.get(keys.shards_recorded)))
