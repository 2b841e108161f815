"""What an instance stands on: its data directory, its id, its Redis."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable

import msgspec
import structlog
from redis.exceptions import BusyLoadingError, MovedError, RedisError

from teltonika.codecs import TlsError
from teltonika.server.config import ServerSettings
from teltonika.server.data_dir import DataDirectory
from teltonika.server.durability import (
    CONFIRMED,
    SYNCED_ALWAYS,
    Durability,
    Promise,
    check_durability,
)
from teltonika.server.embedded import SUBDIRECTORY, EmbeddedValkey
from teltonika.server.errors import (
    DataDirectoryBusyError,
    RedisUnavailableError,
    WeakRedisError,
)
from teltonika.server.instance import Instance, Ports, background
from teltonika.server.redis_link import RedisLink, check_redis_url, open_link, redacted_url
from teltonika.server.refusals import in_words, node_of
from teltonika.server.tls import ServerTls

log = structlog.get_logger()

CHECK_TIMEOUT_S = 10.0
LOADING_PAUSE_S = 0.5


class Listening(msgspec.Struct, frozen=True, tag_field="event", tag="listening"):
    """What `serve` says once it accepts connections; as JSON, the line of CONTRACT, section 2."""

    host: str
    port: int
    redis: str
    """A URL that redis-py opens, without its password."""
    instance_id: str
    pid: int
    udp_port: int | msgspec.UnsetType = msgspec.UNSET
    """Only where there is one."""
    metrics: str | msgspec.UnsetType = msgspec.UNSET
    """HOST:PORT of metrics and health; likewise."""


async def serve(
    settings: ServerSettings,
    stop: asyncio.Event,
    on_listening: Callable[[Listening], None] = lambda _: None,
    reload: asyncio.Event | None = None,
) -> None:
    """Run one instance until ``stop`` is set; then drain it and return.

    Each time ``reload`` is set, the certificates are read again. Cancelled, it ends at once: what
    is unconfirmed is not acknowledged. Raises ServerError or TlsError, in a sentence for the
    operator, if it cannot start.
    """
    tls = _tls(settings)
    async with contextlib.AsyncExitStack() as stack:
        instance_id = _claim_instance_id(settings, stack)
        try:
            async with given_up_on(stop):
                redis_url, promise = await stack.enter_async_context(_redis(settings, instance_id))
        except TimeoutError:
            log.info("stopped", before="it had started")
            return

        def tell(ports: Ports) -> None:
            address = Listening(
                settings.host,
                ports.tcp,
                redacted_url(redis_url),
                instance_id,
                os.getpid(),
                msgspec.UNSET if ports.udp is None else ports.udp,
                msgspec.UNSET if ports.metrics is None else str(ports.metrics),
            )
            log.info(**msgspec.to_builtins(address), durability=promise.durability)
            on_listening(address)

        instance = Instance(settings, instance_id, redis_url, promise, tls)
        async with background(_reload_when_asked(tls, reload)):
            await instance.run(stop, tell)


def _tls(settings: ServerSettings) -> ServerTls | None:
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


def _claim_instance_id(settings: ServerSettings, stack: contextlib.AsyncExitStack) -> str:
    """Take the data directory where one is needed, and say who we are."""
    if settings.redis_url is not None and settings.instance_id is not None:
        return settings.instance_id
    try:
        directory = stack.enter_context(DataDirectory(settings.data_dir))
    except DataDirectoryBusyError as error:
        if settings.redis_url is None:
            raise
        raise DataDirectoryBusyError(f"{error}, or an --instance-id") from None
    return settings.instance_id or directory.instance_id()


@contextlib.asynccontextmanager
async def _redis(settings: ServerSettings, instance_id: str) -> AsyncIterator[tuple[str, Promise]]:
    """The Redis that was named, or an embedded one that lives as long as the body.

    Its URL, and what it promises.
    """
    if settings.redis_url is not None:
        keys = settings.keys.together(instance_id)
        yield settings.redis_url, await _check_redis(settings.redis_url, settings, keys)
        return
    promise = promise_of_ours(settings.durability)
    embedded = EmbeddedValkey(settings.data_dir / SUBDIRECTORY)
    await embedded.start()
    try:
        async with background(embedded.keep_up()):
            yield embedded.url, promise
    except asyncio.CancelledError:
        embedded.kill()
        raise
    finally:
        await embedded.stop()


async def _check_redis(
    url: str, settings: ServerSettings, keys: tuple[tuple[str, ...], ...]
) -> Promise:
    """A Redis that is wrong from the start is a mistake to tell, not one to wait for.

    One that still loads its data is waited for.
    """
    check_redis_url(url)
    is_loading = False
    while True:
        try:
            async with asyncio.timeout(CHECK_TIMEOUT_S), open_link(url) as link:
                await check_keys(link, url, keys)
                return await check_durability(link, settings.durability, settings.replicas)
        except TimeoutError:
            raise RedisUnavailableError(
                f"cannot use the Redis at {redacted_url(url)}: no answer in {CHECK_TIMEOUT_S:g} s"
            ) from None
        except BusyLoadingError as error:
            if not is_loading:
                log.warning("redis_is_loading", redis=redacted_url(url), error=str(error))
            is_loading = True
        except (RedisError, OSError) as error:
            raise RedisUnavailableError(
                f"cannot use the Redis at {redacted_url(url)}: {in_words(error)}"
            ) from error
        await asyncio.sleep(LOADING_PAUSE_S)


async def check_keys(link: RedisLink, url: str, keys: tuple[tuple[str, ...], ...]) -> None:
    """Whether this Redis has all keys; a node of a cluster may not."""
    for names in keys:
        try:
            await link.execute("EXISTS", *names)
        except MovedError as error:
            raise RedisUnavailableError(
                f"the Redis at {redacted_url(url)} is one node of a cluster, and slot "
                f"{error.slot_id}, which {names[0]} is in, belongs to {node_of(error)}: give that "
                "node, and a --key-prefix such as {teltonika}: if that has not all keys either"
            ) from None


def promise_of_ours(wanted: Durability | None) -> Promise:
    """The embedded Valkey syncs before it confirms, whatever is asked; it has no replicas."""
    if wanted is Durability.REPLICA:
        raise WeakRedisError(
            "the embedded Valkey has no replicas: --durability replica needs --redis"
        )
    return CONFIRMED if wanted is Durability.MEMORY else SYNCED_ALWAYS
