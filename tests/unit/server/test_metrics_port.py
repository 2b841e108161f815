"""The port for metrics and health, in the test's own loop, with answers of the test's own."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest

from teltonika.server import metrics_port as metrics_port_module
from teltonika.server.background import background
from teltonika.server.errors import ListenError
from teltonika.server.metrics_port import MAX_CONNECTIONS, MetricsPort, Request, Response

GET = b"GET /x?y=1 HTTP/1.1\r\nHost: here\r\nAccept: text/plain\r\nAccept: a/b\r\n\r\n"
Answer = Callable[[Request], Awaitable[Response]]


@contextlib.asynccontextmanager
async def serving(answer: Answer) -> AsyncIterator[int]:
    port = MetricsPort(answer)
    address = port.bind("127.0.0.1", 0)
    async with background(port.run()):
        yield address.port


async def asked(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        return await reader.read()
    finally:
        writer.close()


async def test_what_is_asked_for_comes_in_pieces_and_is_answered() -> None:
    requests: list[Request] = []

    async def answer(request: Request) -> Response:
        requests.append(request)
        return Response(200, b"body", "text/x")

    async with serving(answer) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        for byte in GET:
            writer.write(bytes((byte,)))
            await writer.drain()
        said = await reader.read()
        writer.close()
    assert requests == [Request("/x", "text/plain,a/b")]
    assert said.startswith(b"HTTP/1.1 200 OK\r\nContent-Type: text/x\r\nContent-Length: 4\r\n")
    assert said.endswith(b"\r\n\r\nbody")


async def test_an_answer_that_fails_is_told_and_the_next_one_is_given(
    caplog: pytest.LogCaptureFixture,
) -> None:
    failing = True

    async def answer(_: Request) -> Response:
        if failing:
            raise RuntimeError("of the server's own making")
        return Response(200, b"")

    async with serving(answer) as port:
        said = await asked(port, GET)
        assert said.startswith(b"HTTP/1.1 500 Internal Server Error\r\n")
        assert b"of the server's own making" not in said
        failing = False
        assert (await asked(port, GET)).startswith(b"HTTP/1.1 200 OK\r\n")


@pytest.mark.parametrize(
    ("request_line", "status"),
    [
        (b"GET /x HTTP/1.0", b"200"),
        (b"GET http://here/x HTTP/1.1", b"200"),
        (b"CONNECT here:80 HTTP/1.1", b"405"),
        (b"HEAD /x HTTP/1.1\r\nExpect: 100-continue", b"200"),
        (b"GET /x HTTP/1.1\r\nUpgrade: websocket\r\nConnection: upgrade", b"200"),
        (b"GET /x HTTP/1.1\r\nTransfer-Encoding: chunked", b"200"),
    ],
)
async def test_each_kind_of_request_has_an_answer(request_line: bytes, status: bytes) -> None:
    async def answer(_: Request) -> Response:
        return Response(200, b"")

    async with serving(answer) as port:
        said = await asked(port, request_line + b"\r\nHost: here\r\n\r\n")
        assert said.split(b" ")[1] == status
        assert (await asked(port, GET)).startswith(b"HTTP/1.1 200 OK\r\n")


async def test_one_too_many_takes_the_place_of_the_oldest() -> None:
    async def answer(_: Request) -> Response:
        return Response(200, b"")

    async with serving(answer) as port:
        silent = [
            await asyncio.open_connection("127.0.0.1", port) for _ in range(MAX_CONNECTIONS + 1)
        ]
        assert await silent[0][0].read() == b""
        silent[1][1].write(GET)
        assert (await silent[1][0].read()).startswith(b"HTTP/1.1 200 OK\r\n")
        for _, writer in silent:
            writer.close()


async def test_whoever_is_too_slow_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_port_module, "REQUEST_TIMEOUT_S", 0.05)

    async def answer(_: Request) -> Response:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async with serving(answer) as port:
        assert await asked(port, GET) == await asked(port, GET[:20]) == b""


async def test_who_does_not_read_its_answer_is_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics_port_module, "REQUEST_TIMEOUT_S", 0.1)
    size = 50_000_000

    async def answer(_: Request) -> Response:
        return Response(200, bytes(size))

    async with serving(answer) as port:
        loop = asyncio.get_running_loop()
        with socket.socket() as deaf:
            deaf.setblocking(False)
            await loop.sock_connect(deaf, ("127.0.0.1", port))
            await loop.sock_sendall(deaf, GET)
            await asyncio.sleep(0.3)  # the time that it has, and more
            read = 0
            with contextlib.suppress(ConnectionResetError):
                while more := await loop.sock_recv(deaf, 1_000_000):
                    read += len(more)
    assert read < size


async def test_at_its_end_every_connection_is_closed() -> None:
    async def answer(_: Request) -> Response:
        return Response(200, b"")

    async with serving(answer) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        assert await asked(port, GET)  # so the first one is accepted, too
    assert await reader.read() == b""
    writer.close()
    with pytest.raises(ConnectionRefusedError):
        await asked(port, GET)


def test_a_port_that_is_taken_is_told() -> None:
    async def answer(_: Request) -> Response:
        return Response(200, b"")

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ListenError, match=f"cannot listen on 127.0.0.1:{port}: "):
            MetricsPort(answer).bind("127.0.0.1", port)
