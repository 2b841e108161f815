"""What the server does in Redis, and whether this user may (ACL).

Redis looks at a user's rights when it queues a command of a transaction. So every command is queued
with the server's own keys, and the transaction then given up: nothing is executed.
"""

from typing import NamedTuple

from redis.exceptions import NoPermissionError, ResponseError

from teltonika.server.authority import Authority
from teltonika.server.command_ledger import GROUP
from teltonika.server.config import ServerSettings
from teltonika.server.doctor.finding import Finding, failure, ok, warning
from teltonika.server.durability import Durability
from teltonika.server.keys import Keys, ShardKeys
from teltonika.server.redis_link import RedisLink
from teltonika.server.redis_url import Kind, parse_redis_url


class Use(NamedTuple):
    """A command as the server gives it, and whether the server is of use without."""

    words: tuple[str, ...]
    needed: bool = True

    @property
    def named(self) -> str:
        """Command and first key, for a person."""
        return " ".join(self.words[:2])


ANY = "*"
"""For what has a key of its own: an instance cleans up after others, too, and only a pattern that
allows all of their keys allows this one."""


def uses(settings: ServerSettings) -> list[Use]:
    """Every command that a server with these settings gives, also those of its scripts."""
    keys = settings.keys
    found = [
        *_telemetry(keys),
        *_commands(keys),
        *_registry(keys),
        ("TIME",),
        ("SCRIPT", "LOAD", "return 0"),
    ]
    if settings.authority is Authority.ALLOW_LIST:
        found += [("SSCAN", keys.allowed, "0"), ("SUBSCRIBE", keys.allowed_changed)]
    if settings.durability is Durability.REPLICA:
        found.append(("WAIT", "0", "1"))
    elif settings.durability is not Durability.MEMORY:
        found.append(("WAITAOF", "0", "0", "1"))
    if settings.redis_url is not None and parse_redis_url(settings.redis_url).kind is Kind.CLUSTER:
        found += [("CLUSTER", "SLOTS"), ("ASKING",)]
    better = [("INFO",), ("CLIENT", "ID"), ("CLIENT", "KILL", "ID", "0")]
    better.append(("CONFIG", "GET", "appendonly"))
    better += [("SSCAN", keys.traced, "0"), ("PUBLISH", keys.traced_frames(ANY), "")]
    return [*map(Use, found), *(Use(words, needed=False) for words in better)]


def _telemetry(keys: Keys) -> list[tuple[str, ...]]:
    return [
        *(command for shard in keys.shards for command in _of_shard(shard)),
        ("XADD", keys.messages, "MAXLEN", "~", "1", "*", "ts", ""),
        ("SET", keys.shards_recorded, "1", "NX"),
        ("GET", keys.shards_recorded),
        ("EXISTS", keys.with_shards(1).shards[0].dedupe),
    ]


def _of_shard(shard: ShardKeys) -> list[tuple[str, ...]]:
    return [
        ("EVALSHA", "0" * 40, "2", shard.telemetry, shard.dedupe),
        ("XADD", shard.telemetry, "MAXLEN", "~", "1", "*", "ts", ""),
        ("EXISTS", shard.telemetry),
        ("EXISTS", shard.dedupe),
        ("HGET", shard.dedupe, "0"),
        ("HSET", shard.dedupe, "0", ""),
        ("HDEL", shard.dedupe, "0"),
        ("HSCAN", shard.dedupe, "0"),
        ("GETSET", shard.dedupe_swept, "0"),
    ]


def _commands(keys: Keys) -> list[tuple[str, ...]]:
    outbound, command = keys.outbound(ANY), keys.command(ANY)
    return [
        ("EVALSHA", "0" * 40, "2", keys.responses, command),
        ("XADD", keys.responses, "MAXLEN", "~", "1", "*", "ts", ""),
        ("HMGET", command, "state"),
        ("HSET", command, "state", ""),
        ("EXPIRE", command, "1"),
        ("XGROUP", "CREATE", outbound, GROUP, "0", "MKSTREAM"),
        ("XREADGROUP", "GROUP", GROUP, "0", "STREAMS", outbound, ">"),
        ("XACK", outbound, GROUP, "0-1"),
        ("XDEL", outbound, "0-1"),
        ("XRANGE", outbound, "-", "+"),
        ("XLEN", outbound),
        ("EXISTS", outbound),
        ("DEL", outbound),
    ]


def _registry(keys: Keys) -> list[tuple[str, ...]]:
    heartbeat = keys.heartbeat(ANY)
    of_all = (keys.registry, keys.connected_since, keys.runs)
    return [
        ("EVALSHA", "0" * 40, "3", *of_all),
        *(("HSET", key, "0", "") for key in of_all),
        *(("HDEL", key, "0") for key in of_all),
        ("HGET", keys.registry, "0"),
        ("HGET", keys.runs, "0"),
        ("HSETNX", keys.registry, "0", ""),
        ("HSCAN", keys.registry, "0"),
        ("HGETALL", keys.runs),
        ("SET", heartbeat, "", "EX", "1"),
        ("GET", heartbeat),
        ("EXISTS", heartbeat),
        ("DEL", heartbeat),
    ]


OF_THE_CONNECTION = ("client|setinfo", "select", "ping", "multi", "discard")
"""What redis-py says when it connects, what `/readyz` asks, and what `check_rights` needs."""


def least_rules(settings: ServerSettings) -> list[str]:
    """What ACL SETUSER is told of a user who may do what a server does, and nothing else."""
    used = uses(settings)
    keys = sorted({f"~{key}" for use in used if (key := _key_of(use)) is not None})
    channels = sorted({f"&{use.words[1]}" for use in used if use.words[0] in _ON_CHANNELS})
    commands = sorted({right_to(use) for use in used} | set(OF_THE_CONNECTION))
    return ["resetkeys", "resetchannels", "-@all", *keys, *channels, *(f"+{c}" for c in commands)]


async def check_rights(link: RedisLink, settings: ServerSettings) -> Finding:
    """Which of the commands this user may not give. Raises RedisError or OSError for the link."""
    try:
        await link.execute("MULTI")
    except NoPermissionError:
        return warning(
            "rights",
            "they cannot be looked at: this user may not give MULTI",
            "allow +multi +discard for this check",
        )
    forbidden: list[tuple[Use, str]] = []
    wanted = uses(settings)
    for use in wanted:
        try:
            await link.execute(*use.words)
        except NoPermissionError as error:
            forbidden.append((use, str(error)))
        except ResponseError:
            pass  # it may not stand in a transaction, or this Redis does not know it
    await link.execute("DISCARD")
    if not forbidden:
        return ok("rights", f"this user may give all {len(wanted)} commands")
    told = ", ".join(dict.fromkeys(use.named for use, _ in forbidden))
    found = f"this user may not: {told}"
    if any(use.needed for use, _ in forbidden):
        return failure("rights", found, f"allow them with ACL SETUSER: {_rules(forbidden)}")
    return warning(
        "rights",
        f"{found}: the server runs, and knows less of this Redis",
        f"allow them with ACL SETUSER: {_rules(forbidden)}",
    )


def _rules(forbidden: list[tuple[Use, str]]) -> str:
    """What would mend it, as ACL SETUSER takes it."""
    rules: list[str] = []
    for use, said in forbidden:
        if "channel" in said:
            rules.append(f"&{use.words[1]}")
        elif "key" in said:
            rules.append(f"~{_key_of(use)}")
        else:
            rules.append(f"+{right_to(use)}")
    return " ".join(dict.fromkeys(rules))


def right_to(use: Use) -> str:
    """A command as ACL SETUSER calls it."""
    name, *more = (word.lower() for word in use.words[:2])
    return f"{name}|{more[0]}" if name in _CONTAINERS else name


_CONTAINERS = ("client", "cluster", "config", "script", "xgroup")
_ON_CHANNELS = ("PUBLISH", "SUBSCRIBE")
_WITHOUT_KEY = (
    *_ON_CHANNELS,
    *("ASKING", "CLIENT", "CLUSTER", "CONFIG", "INFO", "SCRIPT", "TIME", "WAIT", "WAITAOF"),
)


def _key_of(use: Use) -> str | None:
    """The first key that a command names."""
    if use.words[0] in _WITHOUT_KEY:
        return None
    at = {"EVALSHA": 3, "XGROUP": 2, "XREADGROUP": 5}.get(use.words[0], 1)
    return use.words[at]
