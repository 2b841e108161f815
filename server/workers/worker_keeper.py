"""One worker as the supervisor has it: a process that is started again whenever it dies."""

import asyncio
from collections.abc import Callable

import structlog
from redis.backoff import ExponentialWithJitterBackoff

from teltonika.server.workers.messages import Answer, Failed, Question, Setup
from teltonika.server.workers.run import Ending, WorkerCommand, WorkerRun, signal_name

log = structlog.get_logger()

SHORTEST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 30.0
LONG_LIFE_S = 60.0
"""A worker that has lived for so long is started again as if it had never died."""
MAX_EXPONENT = 16
TO_END_S = 15.0
"""Beyond the drain's own time-out: for the last writes, and to end."""


class WorkerKeeper:
    """`run` as a task, until `stop`."""

    def __init__(
        self,
        setup: Setup,
        command: WorkerCommand,
        shared_fds: tuple[int, ...],
        accepts: Callable[[], None],
        gave_up: Callable[[str, bool], None],
    ) -> None:
        """``accepts`` is called whenever devices can connect to a new process. ``gave_up``, with a
        sentence and whether the instance id is another's now, when no other process is to follow.
        """
        self.number = setup.number
        self.restarts = 0
        self.run_now: WorkerRun | None = None
        """The process that runs; None between two."""
        self._setup = setup
        self._command = command
        self._shared_fds = shared_fds
        self._on_accepts = accepts
        self._gave_up = gave_up
        self._backoff = ExponentialWithJitterBackoff(base=SHORTEST_PAUSE_S, cap=LONGEST_PAUSE_S)
        self._failures = 0
        self._has_accepted = False
        self._stopping = asyncio.Event()
        self._limit: asyncio.Timeout | None = None
        self._pid = 0

    async def run(self) -> None:
        """Keep a process up until `stop`, then until it has ended. Cancelled, it ends at once."""
        now = asyncio.get_running_loop().time
        while True:
            started_at = now()
            try:
                self.run_now = await WorkerRun.start(
                    self._command, self._setup, self._shared_fds, self._accepted
                )
            except OSError as error:  # no process, no memory, no descriptors
                ending = Ending(1, Failed(f"cannot start a process: {error.strerror}", False))
            else:
                self._pid = self.run_now.pid
                log.info("worker_started", worker=self.number, pid=self._pid)
                ending = await self._until_end(self.run_now)
            lived_s = now() - started_at
            if self._stopping.is_set() or not self._goes_on(ending):
                break
            if lived_s >= LONG_LIFE_S:
                self._failures = 0
            self._failures += ending.exit_code != 0  # else somebody had it drain
            pause_s = self._backoff.compute(min(self._failures, MAX_EXPONENT))
            self._log_death(ending, lived_s, pause_s)
            if await self._told_to_stop_within(pause_s):
                break
            self.restarts += 1

    def stop(self) -> None:
        """Drain the process that runs, and start no other."""
        self._stopping.set()
        if self.run_now is not None:
            self.run_now.stop()
        if self._limit is not None:
            patience_s = self._setup.settings.drain_timeout_s + TO_END_S
            self._limit.reschedule(asyncio.get_running_loop().time() + patience_s)

    def reload(self) -> None:
        """Have the certificates read again; a process to come reads them anyway."""
        if self.run_now is not None:
            self.run_now.reload()

    @property
    def pid(self) -> int | None:
        """None between two processes."""
        return None if self.run_now is None else self.run_now.pid

    @property
    def accepts(self) -> bool:
        """Whether devices can connect to it."""
        return self.run_now is not None and self.run_now.accepts

    async def ask(self, question: Question) -> Answer | None:
        """None if it does not answer."""
        return None if self.run_now is None else await self.run_now.ask(question)

    def _accepted(self) -> None:
        self._has_accepted = True
        self._on_accepts()

    async def _until_end(self, run: WorkerRun) -> Ending:
        try:
            async with asyncio.timeout(None) as self._limit:
                if self._stopping.is_set():  # while it was being started
                    self.stop()
                ending = await run.end()
        except TimeoutError:
            log.exception("worker_killed", worker=self.number, pid=self._pid, exc_info=False)
            self._gave_up(
                f"worker {self.number} did not drain in time and was killed: devices send again "
                "what it had not acknowledged",
                False,
            )
            return Ending(0, None)
        finally:
            self._limit = None
            self.run_now = None
        if self._stopping.is_set() and ending.exit_code:
            self._gave_up(f"worker {self.number} did not drain: {ending}", False)
        return ending

    def _goes_on(self, ending: Ending) -> bool:
        """A mistake at the first start is told; whatever comes later is to be survived, but not
        that another server runs under this one's name."""
        superseded = ending.failure is not None and ending.failure.superseded
        if ending.failure is not None and (superseded or not self._has_accepted):
            self._gave_up(ending.failure.error, superseded)
            return False
        if not self._has_accepted:
            self._gave_up(
                f"worker {self.number} did not start: {ending}; see what its log says", False
            )
            return False
        return True

    def _log_death(self, ending: Ending, lived_s: float, pause_s: float) -> None:
        how: dict[str, str | int] = (
            {"signal": signal_name(-ending.exit_code)}
            if ending.exit_code < 0
            else {"exit_code": ending.exit_code}
        )
        if ending.failure is not None:
            how["error"] = ending.failure.error
        log.error(
            "worker_died",
            worker=self.number,
            pid=self._pid,
            **how,
            lived_s=round(lived_s, 1),
            again_in_s=round(pause_s, 2),
        )

    async def _told_to_stop_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            return False
        return True
