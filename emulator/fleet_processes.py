"""A fleet that needs more than one core: in several processes, each with a part of the devices."""

import asyncio
import multiprocessing
import signal
from collections.abc import Callable, Coroutine, Sequence
from multiprocessing.connection import Connection

import msgspec

from teltonika.emulator.fleet import Fleet, FleetCounts
from teltonika.emulator.settings import EmulatorSettings

TELL_PERIOD_S = 0.5
"""Between two words from a process to the one that started it."""

_HELD = (signal.SIGINT, signal.SIGTERM)
"""Signals that wait until whoever gets them is ready: a process that has no handler yet, its own or
that of who started it, would die of them."""

Runner = Callable[[Coroutine[None, None, None]], None]
"""Such as `asyncio.run`."""


class FleetProcessError(Exception):
    """One of the processes ended before its devices did."""


class FleetProcesses:
    """Runs like a `Fleet`: `run`, `stop`, `counts`. To be made before there is an event loop.

    The processes are forked; ``runner`` is what each runs its event loop with. From then on SIGINT
    and SIGTERM are held until `run`, before which they are to be given their handlers.
    """

    def __init__(
        self,
        imeis: Sequence[str],
        settings: EmulatorSettings,
        *,
        ramp: float,
        processes: int,
        runner: Runner,
    ) -> None:
        context = multiprocessing.get_context("fork")
        signal.pthread_sigmask(signal.SIG_BLOCK, _HELD)
        self._stopping = False
        self._counts = [FleetCounts() for _ in range(processes)]
        self._parts: list[tuple[multiprocessing.process.BaseProcess, Connection]] = []
        for turn in range(processes):
            ours, theirs = context.Pipe(duplex=False)
            process = context.Process(
                target=_run_part,
                args=(theirs, imeis[turn::processes], settings, ramp, turn, processes, runner),
            )
            process.start()
            theirs.close()
            self._parts.append((process, ours))

    @property
    def stopping(self) -> bool:
        return self._stopping

    async def run(self) -> None:
        """Until every process has ended. Raises FleetProcessError."""
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        try:
            async with asyncio.TaskGroup() as group:
                for number, (process, connection) in enumerate(self._parts):
                    group.create_task(self._follow(number, process, connection))
        finally:
            for process, _ in self._parts:
                process.kill()
                process.join()

    def stop(self) -> None:
        """End soon: each device once its packet in flight, if any, is acknowledged."""
        self._stopping = True
        for process, _ in self._parts:
            process.terminate()

    def counts(self) -> FleetCounts:
        """As the processes told last."""
        return FleetCounts.total(self._counts)

    async def _follow(
        self, number: int, process: multiprocessing.process.BaseProcess, connection: Connection
    ) -> None:
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()

        def read() -> None:
            try:
                while connection.poll():
                    told = connection.recv_bytes()
                    self._counts[number] = msgspec.msgpack.decode(told, type=FleetCounts)
            except EOFError:
                loop.remove_reader(connection.fileno())
                ended.set()

        loop.add_reader(connection.fileno(), read)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(connection.fileno())
            connection.close()
        process.join()
        if process.exitcode:
            raise FleetProcessError(
                f"process {process.pid} of the fleet ended with exit code {process.exitcode}"
            )


def _run_part(
    connection: Connection,
    imeis: Sequence[str],
    settings: EmulatorSettings,
    ramp: float,
    turn: int,
    turns: int,
    runner: Runner,
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is for who started this process

    async def run() -> None:
        fleet = Fleet(imeis, settings, ramp=ramp, turn=turn, turns=turns)

        def tell() -> None:
            connection.send_bytes(msgspec.msgpack.encode(fleet.counts()))

        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, fleet.stop)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _HELD)
        async with asyncio.TaskGroup() as group:
            telling = group.create_task(_every(TELL_PERIOD_S, tell))
            await fleet.run()
            telling.cancel()
        tell()

    runner(run())


async def _every(seconds: float, act: Callable[[], None]) -> None:
    while True:
        await asyncio.sleep(seconds)
        act()
