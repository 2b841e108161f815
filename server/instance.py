"""One instance: everything that runs between its first heartbeat and its last status."""

import asyncio
import contextlib
import gc
import platform
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from importlib import metadata
from typing import NamedTuple

import structlog

from teltonika.server.addresses import Peer
from teltonika.server.background import background
from teltonika.server.command_consumer import CommandConsumer
from teltonika.server.command_ledger import CommandLedger
from teltonika.server.config import ServerSettings
from teltonika.server.connection_registry import ConnectionRegistry
from teltonika.server.counters import Counters
from teltonika.server.dedupe_sweeper import DedupeSweeper
from teltonika.server.deployment import Deployment
from teltonika.server.durability import CONFIRMED, Durability, Promise
from teltonika.server.errors import SupersededError
from teltonika.server.health import LoopWatch, Readiness
from teltonika.server.heartbeat import Heartbeat, State
from teltonika.server.janitor import Janitor
from teltonika.server.listener import Listener
from teltonika.server.logs import lines_dropped
from teltonika.server.metrics_families import Build, Queue, Seen, Vitals
from teltonika.server.redis_writer import RedisWriter
from teltonika.server.scripts import SCRIPTS
from teltonika.server.sight import Sight
from teltonika.server.storage_watch import StorageWatch
from teltonika.server.tls import ServerTls

log = structlog.get_logger()

Watcher = Callable[[Sight], Coroutine[None, None, None]]
"""Shows elsewhere what can be seen of an instance, until cancelled."""

LAST_WRITES_S = 5.0
"""After the connections have ended: for the registry, the heartbeat and the last statuses."""


class Ports(NamedTuple):
    """Where an instance can be reached."""

    tcp: int
    udp: int | None
    metrics: Peer | None


class Instance:
    """The parts of an instance, put together."""

    def __init__(
        self,
        settings: ServerSettings,
        instance_id: str,
        redis: Deployment,
        promise: Promise,
        tls: ServerTls | None,
    ) -> None:
        keys = settings.keys
        run_id = secrets.token_hex(8)
        self._settings = settings
        self._instance_id = instance_id
        self._counters = Counters()
        # commands outlive a failover as records do; nobody waits for a disk because of one
        lasting = promise if promise.durability is Durability.REPLICA else CONFIRMED
        self._writer = RedisWriter(redis, SCRIPTS, lasting)
        self._registry = ConnectionRegistry(self._writer, keys, instance_id, run_id)
        ledger = CommandLedger(
            self._writer,
            keys,
            run_id,
            remember_s=settings.command_memory_s,
            stream_maxlen=settings.stream_maxlen,
        )
        self._listener = Listener(
            settings,
            redis,
            promise,
            instance_id,
            self._registry,
            ledger,
            tls,
            self._counters,
        )
        self._storage = StorageWatch(redis, settings, self._listener.publishers, self._counters)
        self._consumer = CommandConsumer(
            redis,
            keys.outbound(instance_id),
            instance_id,
            ledger,
            self._listener.commands,
            settings.command_timeout_s,
            settings.heartbeat_interval_s,
            self._counters,
        )
        self._heartbeat = Heartbeat(
            self._writer,
            keys,
            self._registry,
            instance_id,
            run_id,
            interval_s=settings.heartbeat_interval_s,
            ttl_s=settings.heartbeat_ttl_s,
            started_ms=time.time_ns() // 1_000_000,
            state=lambda: State(
                self._listener.port, self._listener.devices, self._storage.shortages
            ),
        )
        self._janitor = Janitor(
            self._writer,
            keys,
            self._registry,
            ledger,
            self._counters,
            settings.janitor_interval_s,
        )
        self._sweepers = [
            DedupeSweeper(
                redis,
                self._writer,
                shard,
                settings.dedupe_days,
                settings.stored_bytes // 8 // len(keys.shards),
            )
            for shard in keys.shards
        ]
        self._redis = redis
        self._build = Build(
            metadata.version("teltonika"),
            platform.python_version(),
            instance_id,
            str(promise.durability),
        )

    async def run(
        self,
        stop: asyncio.Event,
        on_listening: Callable[[Ports], None],
        watched_by: Watcher | None = None,
    ) -> None:
        """Until ``stop`` is set, and then until everything that was begun has come to its end.

        Raises ListenError, or SupersededError when another process has taken the instance id: then
        nothing more is written under it.
        """
        async with self._shown(watched_by) as metrics:
            await self._run(stop, lambda tcp, udp: on_listening(Ports(tcp, udp, metrics)))
        self._listener.peer_log.flush()
        self._listener.tracer.flush()
        self._counters.log_lines_dropped = lines_dropped()
        log.info("stopped", **dict(self._counters.as_fields()))

    async def _run(
        self, stop: asyncio.Event, on_listening: Callable[[int, int | None], None]
    ) -> None:
        listener = self._listener
        async with background(
            listener.publishers.run(),
            listener.watch(),
            listener.tracer.run(),
            self._storage.run(),
        ):
            listener.bind()
            try:
                async with background(self._writer.run(), self._registry.run()):
                    if listener.allow_list is not None:
                        await listener.allow_list.load()
                    started_ms = await self._heartbeat.take_over()
                    # What is there by now stays: to look at all of it again held up every device
                    # for 35 ms, and the more often the more strangers connected.
                    gc.freeze()
                    listener.listen()
                    async with background(
                        self._heartbeat.run(), listener.accept(), listener.receive_datagrams()
                    ):
                        on_listening(listener.port, listener.udp_port)
                        await self._work(stop, started_ms)
                        log.info("draining", connections=listener.connections)
                        await listener.drain(self._drain_deadline())
                    await self._end()
            except SupersededError:
                log.exception("superseded", instance_id=self._instance_id, exc_info=False)
                await listener.drain(self._drain_deadline())
                raise

    @contextlib.asynccontextmanager
    async def _shown(self, watched_by: Watcher | None) -> AsyncIterator[Peer | None]:
        """Metrics and health are served while the body runs, where they are; None if nowhere."""
        settings, listener = self._settings, self._listener
        if watched_by is None and settings.metrics_port is None:
            yield None
            return
        watch = LoopWatch(self._counters.event_loop_lag_s)
        readiness = Readiness(
            self._redis,
            self._settings.keys.shards,
            is_open=lambda: listener.is_open,
            draining=lambda: listener.draining,
            storage=lambda: self._storage.complaints,
        )
        if watched_by is not None:
            async with background(watch.run(), watched_by(Sight(self._look, watch, readiness))):
                yield None
            return
        from teltonika.server.metrics_site import MetricsSite  # noqa: PLC0415 - slow to import

        assert settings.metrics_port is not None
        site = MetricsSite(self._look, watch, readiness)
        address = site.bind(settings.metrics_host, settings.metrics_port)
        async with background(watch.run(), site.run()):
            yield address

    def _look(self) -> Seen:
        listener, publishers = self._listener, self._listener.publishers
        oldest = publishers.oldest_read_at
        vitals = Vitals(
            connections=listener.connections,
            registry_entries=self._registry.size,
            unconfirmed_bytes=publishers.unconfirmed_bytes,
            oldest_unconfirmed_s=0.0 if oldest is None else listener.now() - oldest,
            queues={
                Queue.PUBLISHER: publishers.waiting,
                Queue.IN_FLIGHT: publishers.in_flight,
                Queue.DATAGRAMS: listener.waiting_datagrams,
                Queue.COMMANDS: listener.commands.unfinished,
                Queue.REGISTRY: self._registry.waiting,
                Queue.REDIS_WRITER: self._writer.waiting,
            },
            shortages=self._storage.shortages,
            is_draining=listener.draining,
        )
        self._counters.log_lines_dropped = lines_dropped()
        return Seen(self._counters, vitals, self._build)

    async def _work(self, stop: asyncio.Event, started_ms: int) -> None:
        allow_list = self._listener.allow_list
        more = [] if allow_list is None else [allow_list.run()]
        sweeping = [sweeper.run() for sweeper in self._sweepers]
        async with background(
            self._consumer.run(started_ms), self._janitor.run(), *sweeping, *more
        ):
            await stop.wait()

    async def _end(self) -> None:
        """Tell Redis what has ended, if it listens."""
        try:
            async with asyncio.timeout(LAST_WRITES_S):
                await self._registry.flush()
                await self._heartbeat.end()
                await self._writer.idle()
        except TimeoutError:
            log.warning("statuses_not_written", waiting=self._writer.waiting)

    def _drain_deadline(self) -> float:
        return asyncio.get_running_loop().time() + self._settings.drain_timeout_s
