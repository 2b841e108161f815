"""One run of a worker's process: its start, what it says, its end."""

import asyncio
import contextlib
import signal
import socket
from collections.abc import Callable

import msgspec
import structlog

from teltonika.server.workers.channel import Channel
from teltonika.server.workers.messages import (
    Accepts,
    Answer,
    Ask,
    Failed,
    FromWorker,
    Question,
    Reload,
    Setup,
    Stop,
    ToWorker,
    decode_from_worker,
    encode,
)

log = structlog.get_logger()

WorkerCommand = tuple[str, ...]
"""What starts a process that calls `run_worker`; the instance id comes after it, for `ps`."""

PATIENCE_S = {Question.METRICS: 1.0, Question.HEALTH: 1.0, Question.READINESS: 3.0}
"""For an answer. Whether it is ready a worker finds out in 2 s at most."""


class Ending(msgspec.Struct, frozen=True):
    """How a process ended."""

    exit_code: int
    """As `subprocess` has it: negative for a signal."""
    failure: Failed | None
    """What it said about that."""

    def __str__(self) -> str:
        if self.failure is not None:
            return self.failure.error
        if self.exit_code < 0:
            return f"it was ended by {signal_name(-self.exit_code)}"
        return f"it ended with exit code {self.exit_code}"


def signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # such as a real-time one
        return f"signal {number}"


class WorkerRun:
    """`start`, then `end` until the process has ended; meanwhile it can be told and asked."""

    def __init__(
        self, process: asyncio.subprocess.Process, channel: Channel, accepts: Callable[[], None]
    ) -> None:
        """``accepts`` is called once devices can connect."""
        self._process = process
        self._channel = channel
        self._on_accepts = accepts
        self._asked: dict[Question, asyncio.Future[Answer | None]] = {}
        self._failure: Failed | None = None
        self.accepts = False

    @classmethod
    async def start(
        cls,
        command: WorkerCommand,
        setup: Setup,
        shared_fds: tuple[int, ...],
        accepts: Callable[[], None],
    ) -> "WorkerRun":
        """``shared_fds`` are open files that the process is to hold as well. Raises OSError."""
        ours, theirs = socket.socketpair()
        with theirs:
            channel = await Channel.over(ours)
            try:
                process = await asyncio.create_subprocess_exec(
                    *command,
                    setup.settings.instance_id or "",
                    stdin=theirs.fileno(),
                    stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=shared_fds,
                    start_new_session=True,  # Ctrl-C in a terminal is for the supervisor
                )
            except BaseException:
                await channel.close()
                raise
        run = cls(process, channel, accepts)
        run.tell(setup)
        return run

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def has_ended(self) -> bool:
        return self._process.returncode is not None

    def tell(self, message: ToWorker) -> None:
        self._channel.send(encode(message))

    def stop(self) -> None:
        self.tell(Stop())

    def reload(self) -> None:
        self.tell(Reload())

    async def ask(self, question: Question) -> Answer | None:
        """None if it does not answer in time: it hangs, or it has ended."""
        answer = self._asked.get(question)
        if answer is None:
            # one that hangs is not asked again and again
            answer = self._asked[question] = asyncio.get_running_loop().create_future()
            self.tell(Ask(question))
        try:
            async with asyncio.timeout(PATIENCE_S[question]):
                return await asyncio.shield(answer)
        except TimeoutError:
            return None

    async def end(self) -> Ending:
        """Listen to it until it has ended. Cancelled, it is ended at once."""
        try:
            while (data := await self._channel.receive()) is not None:
                try:
                    self._hear(decode_from_worker(data))
                except msgspec.DecodeError as error:  # after an upgrade it may be a newer one's
                    log.warning("worker_not_understood", pid=self.pid, error=str(error))
            return Ending(await self._process.wait(), self._failure)
        finally:
            self.accepts = False
            for answer in self._asked.values():
                if not answer.done():
                    answer.set_result(None)
            self.kill()
            await self._process.wait()
            await self._channel.close()

    def kill(self) -> None:
        if not self.has_ended:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()

    def _hear(self, message: FromWorker) -> None:
        match message:
            case Accepts():
                self.accepts = True
                self._on_accepts()
            case Failed() as failure:
                self._failure = failure
            case Answer(question) as answer:
                waiting = self._asked.pop(question, None)
                if waiting is not None and not waiting.done():
                    waiting.set_result(answer)
