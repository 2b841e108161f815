"""URLs of Redis: one server, the primary that Sentinels name, or a Redis Cluster.

``redis://``, ``rediss://`` and ``unix://`` are redis-py's own, with all of its options. Behind
``redis+sentinel://`` and ``redis+cluster://`` (with TLS ``rediss+…``) stand the addresses of
Sentinels or nodes, as many as one likes, with commas between; any of them may be away. User,
password and options are those of the servers behind; a Sentinel has its own, if it has, in the
options ``sentinel_username`` and ``sentinel_password``.
"""

import re
from enum import StrEnum
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urlsplit

import msgspec
from redis.connection import SSLConnection, parse_url

DEFAULT_PORTS = {"sentinel": 26_379, "cluster": 6_379}
_OF_SENTINEL = "sentinel_"
LOOK_UP_TIMEOUT_S = 2.0
"""For one Sentinel or node to say where the others are."""


class Kind(StrEnum):
    """Who says where the Redis is."""

    SINGLE = ""
    """The URL itself."""
    SENTINEL = "sentinel"
    CLUSTER = "cluster"


class RedisUrl(msgspec.Struct, frozen=True):
    """A URL, taken apart."""

    kind: Kind
    text: str
    """As it was given."""
    addresses: tuple[tuple[str, int], ...] = ()
    """Host and port of the Sentinels, or of nodes of the cluster."""
    service: str = ""
    """What the Sentinels call the primary."""
    scheme: str = ""
    credentials: str = ""
    """What stands before the addresses, with ``@``."""
    path: str = ""
    """The database, with a slash; empty where it is 0."""
    options: tuple[tuple[str, str], ...] = ()
    """For the servers behind."""
    sentinel_options: tuple[tuple[str, str], ...] = ()

    def at(self, host: str, port: int) -> str:
        """The URL of one server behind, as redis-py opens it."""
        shown = f"[{host}]" if ":" in host else host
        query = f"?{urlencode(self.options)}" if self.options else ""
        return f"{self.scheme}://{self.credentials}{shown}:{port}{self.path}{query}"

    def arguments(self) -> dict[str, Any]:
        """What redis-py's clients are given for each server behind, but its address."""
        arguments: dict[str, Any] = dict(parse_url(self.at("localhost", 1)))  # type: ignore[no-untyped-call]
        for name in ("host", "port"):
            del arguments[name]
        if arguments.pop("connection_class", None) is SSLConnection:
            arguments["ssl"] = True
        return arguments

    def sentinel_arguments(self) -> dict[str, Any]:
        """The same for the Sentinels: with the same TLS, and their own user and password."""
        tls = {name: value for name, value in self.arguments().items() if name.startswith("ssl")}
        return {"socket_timeout": LOOK_UP_TIMEOUT_S} | tls | dict(self.sentinel_options)


def parse_redis_url(text: str) -> RedisUrl:
    """Raises ValueError, with a sentence that repeats nothing of the URL."""
    parts = split_redis_url(text)
    scheme, _, kind = parts.scheme.partition("+")
    if not kind:
        return RedisUrl(Kind.SINGLE, text)
    if scheme not in ("redis", "rediss") or kind not in DEFAULT_PORTS:
        raise ValueError("the scheme is none")
    credentials, at, hosts = parts.netloc.rpartition("@")
    addresses = tuple(_address(host, DEFAULT_PORTS[kind]) for host in hosts.split(","))
    path = [part for part in parts.path.split("/") if part]
    options = parse_qsl(parts.query, keep_blank_values=True)
    if kind == Kind.SENTINEL:
        if len(path) not in (1, 2):
            raise ValueError("expected the primary's name behind the Sentinels: …:26379/NAME")
        service, database = path[0], "".join(path[1:])
    else:
        service, database = "", "".join(path)
        if database not in ("", "0"):
            raise ValueError("a Redis Cluster has no databases")
    if database and not (database.isascii() and database.isdigit()):
        raise ValueError("expected a database's number")
    return RedisUrl(
        kind=Kind(kind),
        text=text,
        addresses=addresses,
        service=service,
        scheme=scheme,
        credentials=credentials + at,
        path=f"/{database}" if database else "",
        options=tuple(pair for pair in options if not pair[0].startswith(_OF_SENTINEL)),
        sentinel_options=tuple(
            (name.removeprefix(_OF_SENTINEL), value)
            for name, value in options
            if name.startswith(_OF_SENTINEL)
        ),
    )


def split_redis_url(text: str) -> SplitResult:
    """Like urlsplit, which takes no list of hosts with an IPv6 address in it on newer Pythons."""
    scheme, separator, rest = text.partition("://")
    if not (separator and "+" in scheme):
        return urlsplit(text)
    found = _PARTS.match(rest)
    assert found is not None  # it matches anything
    netloc, path, query, fragment = found.groups(default="")
    return SplitResult(scheme.lower(), netloc, path, query, fragment)


_PARTS = re.compile(r"([^/?#]*)([^?#]*)(?:\?([^#]*))?(?:#(.*))?", re.DOTALL)


def redacted_url(url: str) -> str:
    """A URL that `parse_redis_url` took, without its passwords, wherever they stand in it."""
    parts = split_redis_url(url)
    user, at, host = parts.netloc.rpartition("@")
    user = user.partition(":")[0]
    options = [
        (name, value) for name, value in parse_qsl(parts.query) if not name.endswith("password")
    ]
    query = f"?{urlencode(options)}" if options else ""
    return f"{parts.scheme}://{user}{at if user else ''}{host}{parts.path}{query}"


def _address(text: str, default_port: int) -> tuple[str, int]:
    parts = urlsplit(f"//{text}")
    if not parts.hostname:
        raise ValueError("expected host:port, or several with commas between")
    return parts.hostname, parts.port or default_port
