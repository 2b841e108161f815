"""What must have happened in Redis before a device gets its ACK, and whether a Redis can do it."""

from collections.abc import Callable
from enum import StrEnum
from typing import cast

import msgspec
import structlog
from redis.exceptions import RedisError, ResponseError

from teltonika.server.errors import WeakRedisError
from teltonika.server.redis_link import RedisLink, Reply, pack_command

log = structlog.get_logger()

WAIT_MS = 10_000
"""After so long without fsync or replica a batch is written again, on another connection."""


class Durability(StrEnum):
    """Where a record is before it is acknowledged. Each includes the one before."""

    MEMORY = "memory"
    """Redis confirmed it."""
    FSYNC = "fsync"
    """It is on disk, too."""
    REPLICA = "replica"
    """It is in so many replicas, too; on their disks if Redis is set so."""


class Promise(msgspec.Struct, frozen=True):
    """How a durability is waited for: once for a batch, behind its commands."""

    durability: Durability
    command: bytes = b""
    """Empty: what Redis confirms is durable enough."""
    is_kept: Callable[[Reply], bool] = bool
    """By the reply to ``command``."""


CONFIRMED = Promise(Durability.MEMORY)
SYNCED_ALWAYS = Promise(Durability.FSYNC)
"""For a Redis of our own, which syncs before it confirms anything."""


class DurabilityNotReachedError(RedisError):
    """A batch is in Redis' memory, and not where it must be: it is not acknowledged."""


def promise_of(durability: Durability, replicas: int) -> Promise:
    """How to wait for it."""
    if durability is Durability.MEMORY:
        return CONFIRMED
    if durability is Durability.FSYNC:
        command = pack_command("WAITAOF", 1, 0, WAIT_MS)
        return Promise(durability, command, lambda reply: cast("list[int]", reply)[0] >= 1)
    command = pack_command("WAIT", replicas, WAIT_MS)
    return Promise(durability, command, lambda reply: cast(int, reply) >= replicas)


async def check_durability(link: RedisLink, wanted: Durability | None, replicas: int) -> Promise:
    """The promise that this Redis is to keep.

    One that was asked for, and that it cannot keep, raises WeakRedisError. Where none was asked
    for it is the best of memory and fsync, with a warning if that is memory.
    """
    config = await read_config(link)
    weaknesses = []
    if evicting := why_evicting(config):
        weaknesses.append(evicting)
    never_on_disk = await why_never_on_disk(link, config)
    if wanted is Durability.FSYNC and never_on_disk:
        weaknesses.append(never_on_disk)
    if wanted is Durability.REPLICA and (too_few := await why_too_few_replicas(link, replicas)):
        weaknesses.append(too_few)
    if wanted is None:
        wanted = Durability.FSYNC
        if never_on_disk or not config:
            wanted = Durability.MEMORY
            weaknesses.append(never_on_disk or "it does not tell its settings: name a --durability")
        for weakness in weaknesses:
            log.warning("redis_is_weak", weakness=weakness, durability=wanted)
    elif weaknesses:
        raise WeakRedisError(
            f"this Redis cannot keep --durability {wanted}: {'; '.join(weaknesses)}"
        )
    return promise_of(wanted, replicas)


async def read_config(link: RedisLink) -> dict[str, str]:
    """What matters of Redis' settings; empty if it does not tell."""
    config: dict[str, str] = {}
    for name in ("appendonly", "appendfsync", "maxmemory", "maxmemory-policy"):
        try:
            reply = cast("list[bytes]", await link.execute("CONFIG", "GET", name))
        except ResponseError as error:  # a managed Redis often forbids it
            log.warning("redis_config_unknown", error=str(error))
            return {}
        config |= {reply[0].decode(): reply[1].decode()} if reply else {}
    return config


def why_evicting(config: dict[str, str]) -> str:
    """Why what was acknowledged may be thrown away; empty if it is not."""
    policy = config.get("maxmemory-policy")
    if config.get("maxmemory", "0") == "0" or policy == "noeviction":
        return ""
    return f"it evicts keys when its memory is full (maxmemory-policy {policy}): set noeviction"


async def why_never_on_disk(link: RedisLink, config: dict[str, str]) -> str:
    """Why nobody can wait for a write to be on disk; empty if one can."""
    if config.get("appendonly", "yes") != "yes":
        return "it keeps no append-only file: set appendonly yes, or choose --durability memory"
    if config.get("appendfsync") == "no":
        return (
            "it never says when its append-only file is on disk (appendfsync no): set everysec or "
            "always, or choose --durability memory"
        )
    try:
        await link.execute("WAITAOF", 1, 0, 1)  # this connection wrote nothing: there is no wait
    except ResponseError as error:
        return (
            f"it cannot be asked when a write is on disk ({error}): WAITAOF is in Redis since 7.2 "
            "and in Valkey; use one of these, or choose --durability memory"
        )
    return ""


async def why_too_few_replicas(link: RedisLink, wanted: int) -> str:
    """Why so many replicas cannot have a write; empty if they can."""
    info = parse_info(cast(bytes, await link.execute("INFO", "replication")))
    connected = int(info.get("connected_slaves", "0"))
    if connected >= wanted:
        return ""
    return f"it has {connected} connected replicas, and {wanted} are asked for"


def parse_info(reply: bytes) -> dict[str, str]:
    """A reply to INFO."""
    pairs = (line.partition(":") for line in reply.decode(errors="replace").splitlines())
    return {name: value for name, colon, value in pairs if colon}
