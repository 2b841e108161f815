"""What Redis answers instead of doing what it is told: whether waiting helps, and in words."""

import re

from redis.asyncio.sentinel import MasterNotFoundError as AsyncMasterNotFoundError
from redis.exceptions import (
    AskError,
    ClusterCrossSlotError,
    MovedError,
    NoScriptError,
    RedisClusterException,
    RedisError,
    ResponseError,
)
from redis.sentinel import MasterNotFoundError

_CODE = re.compile(r"(?:^|: -)([A-Z]{2,}) ")
"""Of an error that redis-py has no class for; inside the text if an old Redis' script met it."""
_FOR_EVER = frozenset({"WRONGTYPE", "CROSSSLOT", "ERR"})


FAILURES = (RedisError, RedisClusterException, OSError)
"""What redis-py raises: RedisClusterException is no RedisError."""


def can_change(error: BaseException) -> bool:
    """Whether the same command may be taken later, though nobody mends a key or this program.

    So it is with a Redis that has no memory, disk or replica left, is a replica, loads, is busy,
    has lost its scripts or a slot, and with any code that is not known here. Keys of another type
    and what Redis calls plainly an error stay refused.
    """
    if type(error) is not ResponseError:  # redis-py's classes below it are named by their codes
        return not isinstance(error, ClusterCrossSlotError)
    code = _CODE.search(str(error))
    return code is not None and code[1] not in _FOR_EVER


def in_words(error: BaseException, timeout_s: float | None = None) -> str:
    """One line for the operator's log. ``timeout_s`` is how long an answer was waited for."""
    match error:
        case MovedError():
            return (
                f"slot {error.slot_id} of the Redis Cluster belongs to {node_of(error)} now, where "
                "redis+cluster:// follows it"
            )
        case AskError():
            return f"the Redis Cluster is moving slot {error.slot_id} to {node_of(error)}"
        case MasterNotFoundError() | AsyncMasterNotFoundError():
            found, _, unanswered = str(error).partition(" : ")  # there each client is, at length
            return f"{found}; Sentinels that were asked do not answer" if unanswered else found
        case NoScriptError():
            return "Redis has forgotten this server's scripts: they are loaded again"
        case TimeoutError():
            limit = "time" if timeout_s is None else f"{timeout_s:g} s"
            return str(error) or f"no answer in {limit}"
    return str(error) or type(error).__name__


def complaint_about(key: str, error: ResponseError) -> str:
    """One line about a key that cannot be read. Raises an ``error`` that will pass by itself."""
    if can_change(error):
        raise error
    return f"{key}: {in_words(error)}"


def node_of(error: AskError) -> str:
    """Where Redis says that a slot is."""
    return f"{error.host or 'the same host'}:{error.port}"
