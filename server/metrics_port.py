"""The port for metrics and health: a little HTTP, beside the devices on the same event loop.

One request a connection, GET or HEAD, answered and closed. Whoever is slow has a few seconds for
all of it; when too many are there at once the one that came first has to go, so that there is
always room for the next. h11 reads the requests.
"""

import asyncio
import socket
from collections.abc import Awaitable, Callable
from http import HTTPStatus

import h11
import msgspec
import structlog

from teltonika.server.addresses import Peer, bound_sockets

log = structlog.get_logger()

MAX_CONNECTIONS = 16
MAX_REQUEST_BYTES = 8_192
REQUEST_TIMEOUT_S = 5.0
SHORTAGE_PAUSE_S = 0.5
"""Before accepting again where descriptors are short."""
_READ_BYTES = 4_096


class Request(msgspec.Struct, frozen=True):
    path: str
    accept: str
    """Of the header; empty without it."""


class Response(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    content_type: str = "text/plain; charset=utf-8"


class MetricsPort:
    """`bind`, then `run` as a task; ``answer`` says what each path has."""

    def __init__(self, answer: Callable[[Request], Awaitable[Response]]) -> None:
        self._answer = answer
        self._sockets: list[socket.socket] = []
        self._serving: dict[asyncio.Task[None], None] = {}  # in the order in which they came

    def bind(self, host: str, port: int) -> Peer:
        """Take the port, 0 for any, and listen; where that is. Raises ListenError."""
        self._sockets = bound_sockets(host, port, socket.SOCK_STREAM)
        for listening in self._sockets:
            listening.listen(MAX_CONNECTIONS)
        return Peer.at(self._sockets[0].getsockname())

    async def run(self) -> None:
        """Answer requests until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                for listening in self._sockets:
                    group.create_task(self._accept(listening, group))
        finally:
            for listening in self._sockets:
                listening.close()

    async def _accept(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                connection, _ = await loop.sock_accept(listening)
            except ConnectionAbortedError:  # the peer had given up by then
                continue
            except OSError:
                await asyncio.sleep(SHORTAGE_PAUSE_S)
                continue
            self._serve(connection, group)

    def _serve(self, connection: socket.socket, group: asyncio.TaskGroup) -> None:
        connection.setblocking(False)
        if len(self._serving) >= MAX_CONNECTIONS:
            oldest = next(iter(self._serving))
            del self._serving[oldest]
            oldest.cancel()
        task = group.create_task(self._talk(connection))
        self._serving[task] = None

        def ended(task: asyncio.Task[None]) -> None:
            self._serving.pop(task, None)
            connection.close()

        task.add_done_callback(ended)

    async def _talk(self, connection: socket.socket) -> None:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                await self._converse(connection)
        except OSError:  # the peer is gone, or was too slow
            pass
        except Exception:  # whatever is wrong here, devices go on
            log.exception("metrics_connection_failed")

    async def _converse(self, connection: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST_BYTES)
        with_body = True
        try:
            while (event := http.next_event()) is h11.NEED_DATA:
                http.receive_data(await loop.sock_recv(connection, _READ_BYTES))
        except h11.RemoteProtocolError as error:
            response = Response(error.error_status_hint, f"{error}\n".encode())
        else:
            if not isinstance(event, h11.Request):  # it has gone without asking
                return
            with_body = event.method != b"HEAD"
            response = await self._respond(event)
        await loop.sock_sendall(connection, _encoded(http, response, with_body=with_body))
        connection.shutdown(socket.SHUT_WR)

    async def _respond(self, request: h11.Request) -> Response:
        if request.method not in (b"GET", b"HEAD"):
            return Response(HTTPStatus.METHOD_NOT_ALLOWED, b"GET and HEAD only\n")
        path = request.target.partition(b"?")[0].decode("ascii", "replace")
        accept = b",".join(value for name, value in request.headers if name == b"accept")
        try:
            return await self._answer(Request(path, accept.decode("latin-1")))
        except Exception:
            log.exception("metrics_request_failed", path=path)
            return Response(HTTPStatus.INTERNAL_SERVER_ERROR, b"see the server's log\n")


def _encoded(http: h11.Connection, response: Response, *, with_body: bool) -> bytes:
    headers = [
        ("Content-Type", response.content_type),
        ("Content-Length", str(len(response.body))),
        ("Cache-Control", "no-store"),
        ("Connection", "close"),
    ]
    if response.status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers.append(("Allow", "GET, HEAD"))
    reason = HTTPStatus(response.status).phrase
    start = h11.Response(status_code=response.status, headers=headers, reason=reason)
    encoded = http.send(start) or b""
    if with_body:
        encoded += http.send(h11.Data(data=response.body)) or b""
    return encoded
