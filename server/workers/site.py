"""One port for metrics and health of all workers, in the supervisor.

Workers are asked when somebody looks, all at once and for a second or so: one that hangs is left
out, which its `teltonika_worker_up` says, and does not keep the page back.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from http import HTTPStatus

from teltonika.server.addresses import Peer
from teltonika.server.health import LoopWatch
from teltonika.server.histogram import Histogram
from teltonika.server.logs import lines_dropped
from teltonika.server.metrics_port import MetricsPort, Request, Response
from teltonika.server.metrics_site import health
from teltonika.server.workers.messages import Answer, Question
from teltonika.server.workers.page import WorkersPage
from teltonika.server.workers.worker_families import State
from teltonika.server.workers.worker_keeper import WorkerKeeper

HANGS = "it does not answer"
DOWN = "it is being started"


class WorkersSite:
    """`bind`, then `run` as a task."""

    def __init__(self, keepers: Sequence[WorkerKeeper], *, draining: Callable[[], bool]) -> None:
        self._keepers = keepers
        self._draining = draining
        self._watch = LoopWatch(Histogram((1.0,)))
        self._port = MetricsPort(self.answer)

    def bind(self, host: str, port: int) -> Peer:
        """Take the port, 0 for any; where that is. Raises ListenError."""
        return self._port.bind(host, port)

    async def run(self) -> None:
        """Answer requests until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._watch.run())
            group.create_task(self._port.run())

    async def answer(self, request: Request) -> Response:
        match request.path:
            case "/metrics":
                return await self._metrics(request.accept)
            case "/healthz":
                return await self._health()
            case "/readyz":
                return await self._readiness()
        return Response(HTTPStatus.NOT_FOUND, b"/metrics, /healthz and /readyz are here\n")

    async def _metrics(self, accept: str) -> Response:
        answers = await self._ask(Question.METRICS)
        states = [
            State(
                keeper.number,
                keeper.pid,
                keeper.restarts,
                None if answer is None else answer.readings,
            )
            for keeper, answer in zip(self._keepers, answers, strict=True)
        ]
        page = WorkersPage(states, lines_dropped=lines_dropped())
        written = page.written(accept, time.monotonic())
        return Response(HTTPStatus.OK, written.text, written.content_type)

    async def _health(self) -> Response:
        """Those between two processes are the supervisor's to bring back, not anybody else's."""
        complaints = self._watch.complaints()
        for keeper, answer in await self._of_each(Question.HEALTH):
            if keeper.accepts:
                complaints += _complaints(keeper, answer)
        return health(complaints)

    async def _readiness(self) -> Response:
        """Devices are served as long as one worker serves them; who does not is told."""
        complaints: list[str] = []
        ready = 0
        for keeper, answer in await self._of_each(Question.READINESS):
            found = _complaints(keeper, answer)
            ready += not found
            complaints += found
        if self._draining():
            return health(["the server stops: it drains"])
        if not ready:
            return health(complaints)
        return Response(HTTPStatus.OK, "".join(f"{one}\n" for one in ["ok", *complaints]).encode())

    async def _of_each(self, question: Question) -> list[tuple[WorkerKeeper, Answer | None]]:
        return list(zip(self._keepers, await self._ask(question), strict=True))

    async def _ask(self, question: Question) -> list[Answer | None]:
        return await asyncio.gather(*(keeper.ask(question) for keeper in self._keepers))


def _complaints(keeper: WorkerKeeper, answer: Answer | None) -> list[str]:
    if answer is None:
        found: Sequence[str] = [HANGS if keeper.accepts else DOWN]
    else:
        found = answer.complaints
    return [f"worker {keeper.number}: {one}" for one in found]
