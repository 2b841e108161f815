"""What the server does in Redis, and whether this user may (ACL).

Redis looks at a user's rights before it looks at what a command says. So every command is given,
with the server's own keys, in a form that changes nothing: it only reads, or names a field that
nothing has, or Redis refuses an argument of it. Only the right to the command itself is needed.
"""

from typing import NamedTuple

from redis.exceptions import NoPermissionError, ResponseError

from teltonika.server.authority import Authority
from teltonika.server.command_ledger import GROUP
from teltonika.server.config import ServerSettings
from teltonika.server.doctor.finding import Finding, failure, ok, warning
from teltonika.server.durability import Durability
from teltonika.server.keys import Keys, ShardKeys, turn_of
from teltonika.server.redis_link import RedisLink
from teltonika.server.redis_url import Kind, parse_redis_url
from teltonika.server.storage_watch import stream_parts


class Use(NamedTuple):
    """A command with the server's keys, harmless as it is, and whether the server works without."""

    words: tuple[str, ...]
    needed: bool = True

    @property
    def named(self) -> str:
        """Command and first key, for a person."""
        return " ".join(self.words[:2])


ANY = "*"
"""For what has a key of its own: an instance cleans up after others, too, and only a pattern that
allows all of their keys allows this one. No instance and no command is called so."""
NO_FIELD = "teltonika-doctor"
"""No device, instance or command is called so."""
NOT_AN_ID = "x"
"""Redis refuses it as the id of an entry."""


def uses(settings: ServerSettings) -> list[Use]:
    """Every command that a server with these settings gives, also those of its scripts."""
    keys = settings.keys
    found = [
        *(("EXISTS", key) for key in _asked_for_at_the_start(keys)),
        *_telemetry(keys),
        *_commands(keys),
        *_registry(keys),
        ("TIME",),
        ("SCRIPT", "LOAD", "("),
    ]
    better: list[tuple[str, ...]] = [("CLIENT", "ID"), ("CLIENT", "KILL", "ID", "0")]
    if settings.stored_bytes:
        found += [("INFO",), *_bounds(keys, settings.stored_bytes)]
    else:
        better.append(("INFO",))
    better.append(("CONFIG", "GET", "appendonly"))
    better += [("SSCAN", keys.traced, "0"), ("PUBLISH", keys.traced_frames(ANY), "")]
    (better if settings.metrics_port is None else found).append(("PING",))
    match settings.durability:
        case Durability.REPLICA:
            found += [("WAIT", "0", "1"), ("INFO", "replication")]
        case Durability.FSYNC:
            found.append(("WAITAOF", "0", "0", "1"))
        case None:  # what cannot be waited for is not promised
            better.append(("WAITAOF", "0", "0", "1"))
    if settings.reshard:
        found.append(("HKEYS", keys.runs))
    if settings.redis_url is not None and parse_redis_url(settings.redis_url).kind is Kind.CLUSTER:
        found += [("CLUSTER", "SLOTS"), ("ASKING",)]
    if settings.authority is Authority.ALLOW_LIST:
        found.append(("SSCAN", keys.allowed, "0"))
    uses = [*map(Use, found), *(Use(words, needed=False) for words in better)]
    if settings.authority is Authority.ALLOW_LIST:  # the last: then the connection only listens
        uses.append(Use(("SUBSCRIBE", keys.allowed_changed)))
    return uses


def _asked_for_at_the_start(keys: Keys) -> list[str]:
    """The pattern that all commands' keys have allows the one that begins them, too."""
    begins_commands = keys.command("")
    return [key for group in keys.together(ANY) for key in group if key != begins_commands]


def _entry(stream: str) -> tuple[str, ...]:
    return ("XADD", stream, "MAXLEN", "~", "1", NOT_AN_ID, "ts", "")


def _field(key: str) -> tuple[str, ...]:
    """A field, and one without a value."""
    return ("HSET", key, NO_FIELD, "", NO_FIELD)


def _telemetry(keys: Keys) -> list[tuple[str, ...]]:
    return [
        *(command for shard in keys.shards for command in _of_shard(shard)),
        _entry(keys.messages),
        ("SET", keys.shards_recorded, "1", "NX", "EX", "0"),
        ("GET", keys.shards_recorded),
        ("EXISTS", keys.with_shards(1).shards[0].dedupe),
    ]


def _of_shard(shard: ShardKeys) -> list[tuple[str, ...]]:
    return [
        ("EVALSHA", "0" * 40, "2", shard.telemetry, shard.dedupe),
        _entry(shard.telemetry),
        ("HGET", shard.dedupe, NO_FIELD),
        _field(shard.dedupe),
        ("HDEL", shard.dedupe, NO_FIELD),
        ("HSCAN", shard.dedupe, "0"),
        ("SET", shard.dedupe_swept, "0", "GET", "EX", "0"),
    ]


def _bounds(keys: Keys, max_bytes: int) -> list[tuple[str, ...]]:
    streams = list(stream_parts(keys, max_bytes))
    measured = [*streams, *(shard.dedupe for shard in keys.shards)]
    return [
        *(("SET", turn_of(key), "1", "NX", "EX", "0") for key in measured),
        *(("MEMORY", "USAGE", key, "SAMPLES", "no number") for key in measured),
        *(("XLEN", stream) for stream in streams),
        *(("XINFO", "GROUPS", stream) for stream in streams),
        *(("XTRIM", stream, "MAXLEN", "no number") for stream in streams),
    ]


def _commands(keys: Keys) -> list[tuple[str, ...]]:
    outbound, command = keys.outbound(ANY), keys.command(ANY)
    return [
        ("EVALSHA", "0" * 40, "2", keys.responses, command),
        _entry(keys.responses),
        ("HMGET", command, NO_FIELD),
        _field(command),
        ("EXPIRE", command, "no number"),
        ("XGROUP", "CREATE", outbound, GROUP, NOT_AN_ID, "MKSTREAM"),
        ("XREADGROUP", "GROUP", GROUP, "0", "STREAMS", outbound, NOT_AN_ID),
        ("XACK", outbound, GROUP, NOT_AN_ID),
        ("XDEL", outbound, NOT_AN_ID),
        ("XRANGE", outbound, NOT_AN_ID, NOT_AN_ID),
        ("XLEN", outbound),
        ("DEL", outbound),
    ]


def _registry(keys: Keys) -> list[tuple[str, ...]]:
    heartbeat = keys.heartbeat(ANY)
    of_all = (keys.registry, keys.connected_since, keys.runs)
    return [
        ("EVALSHA", "0" * 40, "3", *of_all),
        *map(_field, of_all),
        *(("HDEL", key, NO_FIELD) for key in of_all),
        ("HGET", keys.registry, NO_FIELD),
        ("HGET", keys.runs, NO_FIELD),
        ("HSCAN", keys.registry, "0"),
        ("HGETALL", keys.runs),
        ("SET", heartbeat, "", "EX", "0"),
        ("GET", heartbeat),
        ("DEL", heartbeat),
    ]


OF_THE_CONNECTION = ("client|setinfo", "select")
"""What redis-py says when it connects."""


def least_rules(settings: ServerSettings) -> list[str]:
    """What ACL SETUSER is told of a user who may do what a server does, and nothing else."""
    used = uses(settings)
    keys = sorted({f"~{key}" for use in used if (key := _key_of(use)) is not None})
    channels = sorted({f"&{use.words[1]}" for use in used if use.words[0] in _ON_CHANNELS})
    commands = sorted({right_to(use) for use in used} | set(OF_THE_CONNECTION))
    return ["resetkeys", "resetchannels", "-@all", *keys, *channels, *(f"+{c}" for c in commands)]


async def check_rights(link: RedisLink, settings: ServerSettings) -> Finding:
    """Which of the commands this user may not give. The link may be of no other use afterwards.

    Raises RedisError or OSError for the link.
    """
    forbidden: list[tuple[Use, str]] = []
    wanted = uses(settings)
    for use in wanted:
        try:
            await link.execute(*use.words)
        except NoPermissionError as error:
            forbidden.append((use, str(error)))
        except ResponseError:
            pass  # it may: this is said of the arguments, or of what this Redis can do
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


_CONTAINERS = ("client", "cluster", "config", "memory", "script", "xgroup", "xinfo")
_ON_CHANNELS = ("PUBLISH", "SUBSCRIBE")
_WITHOUT_KEY = (
    *_ON_CHANNELS,
    *("ASKING", "CLIENT", "CLUSTER", "CONFIG", "INFO", "PING", "SCRIPT", "TIME", "WAIT", "WAITAOF"),
)


def _key_of(use: Use) -> str | None:
    """The first key that a command names."""
    if use.words[0] in _WITHOUT_KEY:
        return None
    at = {"EVALSHA": 3, "MEMORY": 2, "XGROUP": 2, "XINFO": 2, "XREADGROUP": 5}.get(use.words[0], 1)
    return use.words[at]
