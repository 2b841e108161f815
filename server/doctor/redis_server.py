"""What a Redis promises, has room for, and lets this user do."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import chain
from typing import cast

from redis.exceptions import BusyLoadingError, NoPermissionError, RedisError, ResponseError

from teltonika.server.config import ServerSettings
from teltonika.server.deployment import Cluster, Deployment, Place, deployment_of
from teltonika.server.doctor.finding import Finding, failure, ok, warning
from teltonika.server.doctor.rights import check_rights
from teltonika.server.durability import (
    Durability,
    parse_info,
    read_config,
    why_evicting,
    why_never_on_disk,
    why_too_few_replicas,
)
from teltonika.server.errors import RedisUnavailableError, WrongShardsError
from teltonika.server.keys import ShardKeys
from teltonika.server.links import Links
from teltonika.server.redis_check import CHECK_TIMEOUT_S, KeyGroups, check_keys, places_of
from teltonika.server.redis_link import RedisLink, open_link
from teltonika.server.redis_url import redacted_url
from teltonika.server.refusals import in_words
from teltonika.server.shard_record import shards_there
from teltonika.server.storage_watch import (
    PENDING_BYTES,
    PENDING_SHARE,
    memory_room,
    stream_parts,
)

RECOMMENDED = (7, 2)
"""Since then a client can wait for a write to be on disk."""
NEARLY_FULL = 0.8
FULL = 0.95
CLOCK_DIFFERENCE_S = 2.0
UNEVEN = 1.6
"""So many times its part may one primary have."""

Info = dict[str, str]


async def check_redis(
    url: str, settings: ServerSettings, instance_id: str, tell: Callable[[Finding], None]
) -> None:
    """All that can be found out of each server that has any keys."""
    redis = deployment_of(url)
    where = redacted_url(url)
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            places = await places_of(redis, settings.keys.together(instance_id))
    except (TimeoutError, RedisError, OSError) as error:
        reason = in_words(error, CHECK_TIMEOUT_S)
        advice = "see whether one of them runs, listens there, and takes this user and password"
        tell(failure("redis", f"{where} does not say where the Redis is: {reason}", advice))
        return
    answers = [await _check_place(*place, settings, tell) for place in places.items()]
    if isinstance(redis, Cluster):
        tell(await check_spread(redis, settings.keys.shards))
    if all(answers):
        # a missing right is reported by the rights check
        with contextlib.suppress(TimeoutError, RedisError, OSError):
            async with asyncio.timeout(CHECK_TIMEOUT_S):
                tell(await _check_recorded(redis, settings))


async def _check_recorded(redis: Deployment, settings: ServerSettings) -> Finding:
    """Whether the telemetry is in as many shards as are asked for."""
    links, wanted = Links(redis), settings.keys.stream_shards
    try:
        there = await shards_there(links, settings.keys)
    except WrongShardsError as error:
        return failure("stream-shards", str(error), "mend or delete that key")
    finally:
        await links.close()
    found = f"telemetry is in {there} stream{'' if there == 1 else 's'}"
    if there == wanted or settings.reshard:
        return ok("stream-shards", found)
    return failure(
        "stream-shards",
        f"{found}, and --stream-shards is {wanted}: a server would not start",
        f"use --stream-shards {there}, or --reshard once after every server has stopped",
    )


async def check_spread(cluster: Cluster, shards: Sequence[ShardKeys]) -> Finding:
    """Whether every primary of a cluster has its part of the telemetry."""
    counts = Counter([await cluster.locate(shard.telemetry) for shard in shards])
    each = sorted(counts.values()) + [0] * (len(cluster.primaries) - len(counts))
    found = f"{len(shards)} shards on {len(each)} primaries: {', '.join(map(str, sorted(each)))}"
    if max(each) <= UNEVEN * len(shards) / len(each):
        return ok("shards", found)
    return warning(
        "shards", found, "take more with --stream-shards, or move slots: some nodes do all the work"
    )


async def _check_place(
    place: Place, keys: KeyGroups, settings: ServerSettings, tell: Callable[[Finding], None]
) -> bool:
    """All that can be found out on one connection; False if that ended before."""
    where = redacted_url(place.url)
    found: list[Finding] = []

    def tell_and_keep(finding: Finding) -> None:
        found.append(finding)
        tell(finding)

    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S), open_link(place) as link:
            await _check(link, place.url, keys, settings, tell_and_keep)
    except BusyLoadingError:
        advice = "wait: a server that starts waits, too"
        tell(warning("redis", f"{where} is loading its data", advice))
    except (TimeoutError, RedisError, OSError) as error:
        reason = in_words(error, CHECK_TIMEOUT_S)
        advice = "see whether it runs, listens there, and takes this user and password"
        check = "redis-connection" if found else "redis"
        tell(failure(check, f"cannot use the Redis at {where}: {reason}", advice))
    else:
        return True
    return False


async def _check(
    link: RedisLink,
    url: str,
    keys: KeyGroups,
    settings: ServerSettings,
    tell: Callable[[Finding], None],
) -> None:
    started = time.perf_counter()
    with contextlib.suppress(NoPermissionError):  # the rights say so
        await link.execute("PING")
    answered_ms = (time.perf_counter() - started) * 1000
    tell(ok("redis", f"{redacted_url(url)} answers in {answered_ms:.1f} ms"))
    info = await _info(link)
    if info:
        tell(check_version(info))
        tell(_check_role(info))
        tell(check_memory(info))
    tell(await _check_cluster(link, url, keys, info))
    config = await read_config(link)
    if config:
        tell(await _check_disk(link, settings.durability, config, info))
        tell(_check_eviction(settings.durability, config))
        tell(check_memory_limit(config, settings.stored_bytes))
    else:
        tell(
            warning(
                "append-only-file",
                "this Redis does not tell its settings (CONFIG GET)",
                "allow it, or name a --durability that you know it keeps: else it is memory",
            )
        )
    if settings.stored_bytes:
        there = set(chain.from_iterable(keys))
        parts = stream_parts(settings.keys, settings.stored_bytes)
        tell(await check_pending(link, {key: parts[key] for key in parts if key in there}))
    if settings.durability is Durability.REPLICA:
        tell(await _check_replicas(link, settings.replicas))
    tell(await _check_clock(link))
    tell(await check_rights(link, settings))


async def _info(link: RedisLink) -> Info:
    """Empty if it may not be asked for; the rights tell of it."""
    try:
        return parse_info(cast(bytes, await link.execute("INFO")))
    except NoPermissionError:
        return {}


def check_version(info: Info) -> Finding:
    """By the reply to INFO."""
    version = info.get("redis_version", "0")
    found = f"Redis {version}"
    if "valkey_version" in info:
        found = f"Valkey {info['valkey_version']}"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdigit())
    if numbers >= RECOMMENDED:
        return ok("version", found)
    return warning(
        "version",
        f"{found} cannot say when a write is on disk",
        "Redis 7.2 or later, or Valkey; else a crash of Redis loses what was acknowledged",
    )


def _check_role(info: Info) -> Finding:
    if info.get("role") != "slave":
        return ok("role", "it is a primary")
    primary = f"{info.get('master_host')}:{info.get('master_port')}"
    return failure("role", f"it is a replica of {primary}", "name the primary with --redis")


def check_memory(info: Info) -> Finding:
    """How full it is, by the reply to INFO: of its own limit, or of the machine's memory."""
    used, limit = int(info.get("used_memory", "0")), int(info.get("maxmemory", "0"))
    total = int(info.get("total_system_memory", "0"))
    bound, what = (limit, "maxmemory") if limit else (total, "the machine's memory")
    if not bound:
        return ok("memory", f"{used >> 20} MiB are in use")
    share = used / bound
    found = f"{used >> 20} MiB are in use, {share:.0%} of {what} ({bound >> 20} MiB)"
    if share < NEARLY_FULL:
        return ok("memory", found)
    advice = "give it more, or lower --stream-max-bytes: when it is full nothing is acknowledged"
    return (failure if share >= FULL else warning)("memory", found, advice)


async def _check_cluster(link: RedisLink, url: str, keys: KeyGroups, info: Info) -> Finding:
    try:
        await check_keys(link, url, keys)
    except RedisUnavailableError as error:
        found, _, advice = str(error).partition(": name ")
        return failure("cluster", found, f"name {advice}")
    except NoPermissionError:
        return _forbidden("cluster", "EXISTS")
    except ResponseError as error:
        return failure("cluster", in_words(error), "mend the cluster: a slot has no node")
    if info.get("cluster_enabled") == "1":
        return ok("cluster", "this node of a cluster has the keys that it is asked for")
    return ok("cluster", "it is no cluster")


async def _check_disk(
    link: RedisLink, wanted: Durability | None, config: dict[str, str], info: Info
) -> Finding:
    check = "append-only-file"
    if "err" in (info.get("aof_last_write_status"), info.get("aof_last_bgrewrite_status")):
        return failure(
            check,
            "the last write or rewrite of the append-only file has failed",
            "see Redis' log; its disk may be full",
        )
    settings = f"appendonly {config.get('appendonly')}, appendfsync {config.get('appendfsync')}"
    reason = await why_never_on_disk(link, config)
    if not reason:
        return ok(check, settings)
    if wanted is Durability.FSYNC:
        return failure(check, f"--durability fsync cannot be kept ({settings})", reason)
    if wanted is Durability.MEMORY:
        return ok(check, f"{settings}; --durability memory does not need it")
    return warning(check, f"what is acknowledged may be lost with Redis ({settings})", reason)


def _check_eviction(wanted: Durability | None, config: dict[str, str]) -> Finding:
    reason = why_evicting(config)
    found = f"maxmemory-policy {config.get('maxmemory-policy')}"
    if config.get("maxmemory", "0") == "0":
        found += ", without a maxmemory"
    if not reason:
        return ok("eviction", found)
    return (failure if wanted else warning)(
        "eviction", f"{found}: what was acknowledged may be thrown away", reason
    )


def check_memory_limit(config: dict[str, str], stored_bytes: int) -> Finding:
    """Whether Redis has a limit, and what the server stores reaches its own before that.

    By Redis' settings; ``stored_bytes`` 0 is no limit of the server's.
    """
    check = "memory-limit"
    limit = int(config.get("maxmemory", "0"))
    if not limit:
        return warning(
            check,
            "this Redis has no maxmemory: it takes what the machine has, until it is killed",
            "CONFIG SET maxmemory, to half of what it may use at most: a rewrite needs memory, too",
        )
    found = f"maxmemory is {limit >> 20} MiB, and streams may have "
    found += f"{stored_bytes >> 20} MiB" if stored_bytes else "any number of bytes"
    if 0 < stored_bytes <= limit - memory_room(limit):
        return ok(check, found)
    return warning(
        check,
        f"{found}: devices can fill this Redis, and then nothing is acknowledged",
        f"--stream-max-bytes, of {limit // 2 >> 20}MiB or less",
    )


async def check_pending(link: RedisLink, parts: Mapping[str, int]) -> Finding:
    """Whether what groups have pending takes little beside the bytes that each stream may have."""
    check = "pending-entries"
    for stream, part in parts.items():
        try:
            reply = await link.execute("XINFO", "GROUPS", stream)
        except NoPermissionError:
            return _forbidden(check, "XINFO")
        except ResponseError:  # there is no such stream yet
            continue
        groups = [
            dict(zip(fields[::2], fields[1::2], strict=True))
            for fields in cast("list[list[bytes | int]]", reply)
        ]
        pending = {cast(bytes, group[b"name"]): cast(int, group[b"pending"]) for group in groups}
        if sum(pending.values()) * PENDING_BYTES > part // PENDING_SHARE:
            largest = max(pending, key=pending.__getitem__)
            name = largest.decode(errors="replace")
            return warning(
                check,
                f"group {name!r} has {pending[largest]} pending entries of {stream}: they take "
                "memory that trimming does not free",
                "acknowledge what is done (XACK), or delete the group (XGROUP DESTROY)",
            )
    return ok(check, "no group has many pending entries")


async def _check_replicas(link: RedisLink, wanted: int) -> Finding:
    reason = await why_too_few_replicas(link, wanted)
    if not reason:
        return ok("replicas", f"{wanted} or more are connected")
    return failure("replicas", reason, "start them, or lower --replicas")


async def _check_clock(link: RedisLink) -> Finding:
    before_ns = time.time_ns()
    try:
        reply = cast("list[bytes]", await link.execute("TIME"))
    except NoPermissionError:
        return _forbidden("redis-clock", "TIME")
    middle = (before_ns + time.time_ns()) / 2e9
    difference_s = int(reply[0]) + int(reply[1]) / 1e6 - middle
    found = f"Redis' clock is {abs(difference_s):.1f} s {'ahead' if difference_s > 0 else 'behind'}"
    if abs(difference_s) < CLOCK_DIFFERENCE_S:
        return ok("redis-clock", found)
    return warning(
        "redis-clock",
        f"{found}: commands expire too early or too late",
        "keep both machines' clocks right with NTP (chrony, timesyncd)",
    )


def _forbidden(check: str, command: str) -> Finding:
    return warning(
        check, f"it cannot be looked at: this user may not give {command}", "see the rights"
    )
