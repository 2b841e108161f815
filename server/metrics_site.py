"""What the port for metrics and health has: `/metrics`, `/healthz`, `/readyz`."""

import time
from collections.abc import Callable
from http import HTTPStatus

from teltonika.server.addresses import Peer
from teltonika.server.health import LoopWatch, Readiness
from teltonika.server.metrics_families import Seen
from teltonika.server.metrics_page import MetricsPage
from teltonika.server.metrics_port import MetricsPort, Request, Response


class MetricsSite:
    """`bind`, then `run` as a task."""

    def __init__(self, look: Callable[[], Seen], watch: LoopWatch, readiness: Readiness) -> None:
        self._page = MetricsPage(look, time.monotonic)
        self._watch = watch
        self._readiness = readiness
        self._port = MetricsPort(self.answer)

    def bind(self, host: str, port: int) -> Peer:
        """Take the port, 0 for any; where that is. Raises ListenError."""
        return self._port.bind(host, port)

    async def run(self) -> None:
        """Answer requests until cancelled."""
        await self._port.run()

    async def answer(self, request: Request) -> Response:
        match request.path:
            case "/metrics":
                page = self._page.written(request.accept)
                return Response(HTTPStatus.OK, page.text, page.content_type)
            case "/healthz":
                return health(self._watch.complaints())
            case "/readyz":
                return health(await self._readiness.complaints())
        return Response(HTTPStatus.NOT_FOUND, b"/metrics, /healthz and /readyz are here\n")


def health(complaints: list[str]) -> Response:
    """200 where there is nothing to complain about."""
    if not complaints:
        return Response(HTTPStatus.OK, b"ok\n")
    return Response(
        HTTPStatus.SERVICE_UNAVAILABLE, "".join(f"{one}\n" for one in complaints).encode()
    )
