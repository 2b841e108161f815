"""What is wrong with a server's set-up: each check looks, changes nothing, and says what to do."""

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from teltonika.server.app import promise_of_ours
from teltonika.server.config import SUBDIRECTORY, ServerSettings
from teltonika.server.doctor.certificates import check_certificates
from teltonika.server.doctor.finding import Finding, Outcome, failure, ok
from teltonika.server.doctor.machine import (
    check_backlog,
    check_clock,
    check_cores,
    check_data_directory,
    check_descriptors,
    check_disk,
    check_overcommit,
)
from teltonika.server.doctor.ports import check_metrics_port, check_port, check_udp_port
from teltonika.server.doctor.redis_server import check_redis
from teltonika.server.embedded import running_url, server_binary
from teltonika.server.errors import EmbeddedRedisError, WeakRedisError
from teltonika.server.redis_url import split_redis_url
from teltonika.server.workers.shares import instance_ids

__all__ = ["Finding", "Outcome", "examine"]

ANY_INSTANCE = "any"
"""Stands for an id that is not known before the server's first start."""


async def examine(settings: ServerSettings, tell: Callable[[Finding], None]) -> None:
    """Find out all that can be without starting a server, and ``tell`` it as it is found."""
    if settings.redis_url is None:
        await _examine_embedded(settings, tell)
    else:
        await check_redis(settings.redis_url, settings, _an_instance(settings), tell)
    for finding in _examine_machine(settings):
        tell(finding)


async def _examine_embedded(settings: ServerSettings, tell: Callable[[Finding], None]) -> None:
    try:
        tell(ok("valkey", f"the embedded one is {server_binary()}"))
    except EmbeddedRedisError as error:
        tell(failure("valkey", str(error), "name a Redis with --redis"))
        return
    try:
        promise_of_ours(settings.durability)
    except WeakRedisError as error:
        tell(failure("durability", str(error), "name a Redis with --redis"))
        return
    url = _running(settings.data_dir)
    if url is None:
        tell(ok("redis", "the embedded Valkey does not run; a server starts it"))
    else:
        await check_redis(url, settings, _an_instance(settings), tell)


def _an_instance(settings: ServerSettings) -> str:
    """The id whose keys are looked at: what holds for one worker holds for all."""
    base = settings.instance_id or ANY_INSTANCE
    return base if settings.workers == 1 else instance_ids(base, settings.workers)[0]


def _running(data_dir: Path) -> str | None:
    """The URL of the embedded Valkey; None if none listens."""
    try:
        url = running_url(data_dir)
        with socket.socket(socket.AF_UNIX) as probe:
            probe.connect(urlsplit(url).path)
    except (EmbeddedRedisError, OSError):
        return None
    return url


def _examine_machine(settings: ServerSettings) -> Iterator[Finding]:
    if settings.redis_url is None or settings.instance_id is None:
        yield check_data_directory(settings.data_dir)
    if settings.redis_url is None:
        yield check_disk(settings.data_dir / SUBDIRECTORY, settings.min_free_disk_bytes)
    if settings.redis_url is None or _is_here(settings.redis_url):
        yield from check_overcommit()
    yield check_descriptors(settings.max_connections, settings.workers)
    if settings.workers > 1:
        yield check_cores(settings.workers)
    yield from check_backlog()
    yield check_clock()
    yield check_port(settings.host, settings.port)
    if settings.udp_port is not None:
        yield check_udp_port(settings.host, settings.udp_port)
    if settings.metrics_port is not None:
        yield check_metrics_port(settings.metrics_host, settings.metrics_port)
    if settings.tls_cert is not None:
        yield from check_certificates(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


def _is_here(redis_url: str) -> bool:
    """Whether that Redis runs on this machine."""
    parts = split_redis_url(redis_url)
    return parts.scheme == "unix" or parts.hostname in ("localhost", "127.0.0.1", "::1")
