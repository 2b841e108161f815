"""The supervisor: has the data directory, the embedded Valkey and the ports, and runs the workers.

It serves no device itself. What is the same for all of them it finds out before it starts any, so
that a mistake is told once and as a single server would tell it.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec
import structlog

from teltonika.server.addresses import Peer
from teltonika.server.app import Listening, claim_instance_id, given_up_on, redis_of, tls_of
from teltonika.server.background import background
from teltonika.server.config import ServerSettings
from teltonika.server.errors import ServerError, SupersededError, WorkerError
from teltonika.server.logs import LogFormat, LogLevel
from teltonika.server.redis_url import redacted_url
from teltonika.server.workers.held_ports import HeldPorts
from teltonika.server.workers.messages import Setup
from teltonika.server.workers.run import WorkerCommand
from teltonika.server.workers.shares import instance_ids, settings_of_worker
from teltonika.server.workers.worker_keeper import WorkerKeeper

log = structlog.get_logger()


async def serve_with_workers(
    settings: ServerSettings,
    stop: asyncio.Event,
    command: WorkerCommand,
    log_format: LogFormat,
    log_level: LogLevel,
    on_listening: Callable[[Listening], None] = lambda _: None,
    reload: asyncio.Event | None = None,
) -> None:
    """Run ``settings.workers`` instances on the same ports until ``stop`` is set; then drain all.

    ``command`` starts a process that calls `run_worker`. ``on_listening`` is called once devices
    can connect to every worker. Each time ``reload`` is set, the certificates are read again.
    Cancelled, all end at once. Raises ServerError or TlsError, in a sentence for the operator, if
    it cannot start, or a worker did not drain.
    """
    tls_of(settings)
    async with contextlib.AsyncExitStack() as stack:
        base, directory = claim_instance_id(settings, stack)
        ports = stack.enter_context(HeldPorts(settings.host, settings.port, settings.udp_port))
        ids = instance_ids(base, settings.workers)
        try:
            async with given_up_on(stop):
                redis, url, promise = await stack.enter_async_context(redis_of(settings, ids[0]))
        except TimeoutError:
            log.info("stopped", before="it had started")
            return
        setups = [
            Setup(
                number,
                settings_of_worker(
                    settings,
                    instance_id,
                    redis_url=redis.url.text,
                    port=ports.port,
                    udp_port=ports.udp_port,
                ),
                log_format,
                log_level,
            )
            for number, instance_id in enumerate(ids, 1)
        ]
        shared_fds = () if directory is None else (directory.fileno(),)
        workers = Workers(setups, command, shared_fds)

        def tell(metrics: Peer | None) -> None:
            address = Listening(
                settings.host,
                ports.port,
                redacted_url(url),
                base,
                os.getpid(),
                msgspec.UNSET if ports.udp_port is None else ports.udp_port,
                msgspec.UNSET if metrics is None else str(metrics),
                ids,
            )
            log.info(**msgspec.to_builtins(address), durability=promise.durability)
            on_listening(address)

        async with (
            _shown(settings, workers) as metrics,
            background(_reload_when_asked(workers.keepers, reload)),
        ):
            await workers.run(stop, lambda: tell(metrics))
    log.info("stopped", workers=settings.workers)


class Workers:
    """All workers of a server: one drains with the others, and not one fails alone at the start."""

    def __init__(
        self, setups: Sequence[Setup], command: WorkerCommand, shared_fds: tuple[int, ...]
    ) -> None:
        self.keepers = [
            WorkerKeeper(setup, command, shared_fds, self._accepts, self._give_up)
            for setup in setups
        ]
        self._over = asyncio.Event()
        self._told = asyncio.Event()
        """All accept, or it is over before that."""
        self._failure: ServerError | None = None

    @property
    def draining(self) -> bool:
        return self._over.is_set()

    async def run(self, stop: asyncio.Event, on_listening: Callable[[], None]) -> None:
        """Until ``stop`` is set and all have drained. Raises ServerError."""
        async with background(self._end_on(stop)), asyncio.TaskGroup() as group:
            for keeper in self.keepers:
                group.create_task(keeper.run())
            await self._told.wait()
            if not self._over.is_set():
                on_listening()
                await self._over.wait()
            log.info("draining", workers=len(self.keepers))
            for keeper in self.keepers:
                keeper.stop()
        if self._failure is not None:
            raise self._failure

    async def _end_on(self, stop: asyncio.Event) -> None:
        await stop.wait()
        self._end()

    def _end(self) -> None:
        self._over.set()
        self._told.set()

    def _accepts(self) -> None:
        if all(keeper.accepts for keeper in self.keepers):
            self._told.set()

    def _give_up(self, sentence: str, superseded: bool) -> None:
        if self._failure is None:
            self._failure = SupersededError(sentence) if superseded else WorkerError(sentence)
        self._end()


@contextlib.asynccontextmanager
async def _shown(settings: ServerSettings, workers: Workers) -> AsyncIterator[Peer | None]:
    """The port for metrics and health of all, while the body runs; None if there is none."""
    if settings.metrics_port is None:
        yield None
        return
    from teltonika.server.workers.site import WorkersSite  # noqa: PLC0415 - slow to import

    site = WorkersSite(workers.keepers, draining=lambda: workers.draining)
    address = site.bind(settings.metrics_host, settings.metrics_port)
    async with background(site.run()):
        yield address


async def _reload_when_asked(keepers: Sequence[WorkerKeeper], reload: asyncio.Event | None) -> None:
    while reload is not None:
        await reload.wait()
        reload.clear()
        for keeper in keepers:
            keeper.reload()
