"""What an instance stands on: its data directory, its id, its Redis."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple

import msgspec
import structlog

from teltonika.codecs import TlsError
from teltonika.server.background import background
from teltonika.server.config import SUBDIRECTORY, ServerSettings
from teltonika.server.data_dir import DataDirectory
from teltonika.server.deployment import Deployment, deployment_of
from teltonika.server.durability import CONFIRMED, SYNCED_ALWAYS, Durability, Promise
from teltonika.server.embedded import EmbeddedValkey
from teltonika.server.errors import DataDirectoryBusyError, WeakRedisError
from teltonika.server.instance import Instance, Ports, Watcher
from teltonika.server.redis_check import check_redis
from teltonika.server.redis_link import check_redis_url
from teltonika.server.redis_url import redacted_url
from teltonika.server.shard_record import check_shards
from teltonika.server.tls import ServerTls

log = structlog.get_logger()


class Listening(msgspec.Struct, frozen=True, tag_field="event", tag="listening"):
    """What `serve` says once it accepts connections; as JSON, the line of CONTRACT, section 2."""

    host: str
    port: int
    redis: str
    """A URL that redis-py opens, without its password: of a cluster one of its nodes, of a primary
    that Sentinels name the one that it is now."""
    instance_id: str
    pid: int
    udp_port: int | msgspec.UnsetType = msgspec.UNSET
    """Only where there is one."""
    metrics: str | msgspec.UnsetType = msgspec.UNSET
    """HOST:PORT of metrics and health; likewise."""
    workers: tuple[str, ...] | msgspec.UnsetType = msgspec.UNSET
    """The instance ids of the processes that share the port; likewise."""


async def serve(
    settings: ServerSettings,
    stop: asyncio.Event,
    on_listening: Callable[[Listening], None] = lambda _: None,
    reload: asyncio.Event | None = None,
    watched_by: Watcher | None = None,
) -> None:
    """Run one instance until ``stop`` is set; then drain it and return.

    Each time ``reload`` is set, the certificates are read again. ``watched_by`` runs beside it and
    is told what can be seen of it; it takes the place of a port for metrics. Cancelled, it ends at
    once: what is unconfirmed is not acknowledged. Raises ServerError or TlsError, in a sentence for
    the operator, if it cannot start.
    """
    tls = tls_of(settings)
    async with contextlib.AsyncExitStack() as stack:
        instance_id = claim_instance_id(settings, stack).instance_id
        try:
            async with given_up_on(stop):
                redis, url, promise = await stack.enter_async_context(
                    redis_of(settings, instance_id)
                )
        except TimeoutError:
            log.info("stopped", before="it had started")
            return

        def tell(ports: Ports) -> None:
            address = Listening(
                settings.host,
                ports.tcp,
                redacted_url(url),
                instance_id,
                os.getpid(),
                msgspec.UNSET if ports.udp is None else ports.udp,
                msgspec.UNSET if ports.metrics is None else str(ports.metrics),
            )
            log.info(**msgspec.to_builtins(address), durability=promise.durability)
            on_listening(address)

        instance = Instance(settings, instance_id, redis, promise, tls)
        async with background(_reload_when_asked(tls, reload)):
            await instance.run(stop, tell, watched_by)


def tls_of(settings: ServerSettings) -> ServerTls | None:
    """Raises TlsError."""
    if settings.tls_cert is None:
        return None
    return ServerTls(settings.tls_cert, settings.tls_key, settings.tls_client_ca)


async def _reload_when_asked(tls: ServerTls | None, reload: asyncio.Event | None) -> None:
    while tls is not None and reload is not None:
        await reload.wait()
        reload.clear()
        try:
            tls.reload()
        except TlsError as error:
            log.exception("certificates_not_reloaded", error=str(error), exc_info=False)
        else:
            log.info("certificates_reloaded")


@contextlib.asynccontextmanager
async def given_up_on(stop: asyncio.Event) -> AsyncIterator[None]:
    """Cancel the body when ``stop`` is set; TimeoutError is raised then."""
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(None) as limit, background(_reschedule(limit, stop, loop)):
        yield


async def _reschedule(
    limit: asyncio.Timeout, stop: asyncio.Event, loop: asyncio.AbstractEventLoop
) -> None:
    await stop.wait()
    limit.reschedule(loop.time())


class Claim(NamedTuple):
    """Who we are, and the data directory that says so; None where none is needed."""

    instance_id: str
    directory: DataDirectory | None


def claim_instance_id(settings: ServerSettings, stack: contextlib.AsyncExitStack) -> Claim:
    """Take the data directory where one is needed, and say who we are. Raises ServerError."""
    if settings.redis_url is not None and settings.instance_id is not None:
        return Claim(settings.instance_id, None)
    try:
        directory = stack.enter_context(DataDirectory(settings.data_dir))
    except DataDirectoryBusyError as error:
        if settings.redis_url is None:
            raise
        raise DataDirectoryBusyError(f"{error}, or an --instance-id") from None
    return Claim(settings.instance_id or directory.instance_id(), directory)


@contextlib.asynccontextmanager
async def redis_of(
    settings: ServerSettings, instance_id: str
) -> AsyncIterator[tuple[Deployment, str, Promise]]:
    """The Redis that was named, or an embedded one that lives as long as the body.

    With the URL of one of its servers, and what all of them promise.
    """
    if settings.redis_url is not None:
        check_redis_url(settings.redis_url)
        redis = deployment_of(settings.redis_url)
        yield redis, *await check_redis(redis, settings, instance_id)
        return
    promise = promise_of_ours(settings.durability)
    embedded = EmbeddedValkey(settings.data_dir / SUBDIRECTORY)
    await embedded.start()
    try:
        async with background(embedded.keep_up()):
            redis = deployment_of(embedded.url)
            await check_shards(redis, settings.keys, reshard=settings.reshard)
            yield redis, embedded.url, promise
    except asyncio.CancelledError:
        embedded.kill()
        raise
    finally:
        await embedded.stop()


def promise_of_ours(wanted: Durability | None) -> Promise:
    """The embedded Valkey syncs before it confirms, whatever is asked; it has no replicas."""
    if wanted is Durability.REPLICA:
        raise WeakRedisError(
            "the embedded Valkey has no replicas: --durability replica needs --redis"
        )
    return CONFIRMED if wanted is Durability.MEMORY else SYNCED_ALWAYS
