"""What devices talk to: the installed server, and a bare echo of what they send."""

import asyncio
import multiprocessing
import os
import subprocess
import sysconfig
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import cast

import msgspec
import psutil

from teltonika.cli.event_loop import run
from teltonika.server import Listening

TELTONIKA = str(Path(sysconfig.get_path("scripts")) / "teltonika")
"""The installed command of this Python's environment, which need not be an active one."""

STOPS_WITHIN_S = 30


@contextmanager
def running_server(environment: Mapping[str, str] = {}) -> Iterator[Listening]:
    """The installed `teltonika serve` with its embedded Valkey, on a free port; ``environment``:
    options, by their variables."""
    with tempfile.TemporaryDirectory(prefix="teltonika-bench-") as directory:
        command = [TELTONIKA, "serve", "--host", "127.0.0.1", "--port", "0"]
        command += ["--data-dir", directory, "--log-level", "error"]
        variables = {**os.environ, **environment}
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=variables) as server:
            assert server.stdout is not None
            try:
                yield msgspec.json.decode(server.stdout.readline(), type=Listening)
            finally:
                _end(server)


def _end(server: subprocess.Popen[bytes]) -> None:
    """One that is too busy with what it has read to hear of it is killed, and its Valkey."""
    children = psutil.Process(server.pid).children()
    server.terminate()
    try:
        server.wait(timeout=STOPS_WITHIN_S)
    except subprocess.TimeoutExpired:
        for process in (*children, server):
            process.kill()


def resident_bytes(pid: int) -> int:
    """Resident set of a process."""
    return psutil.Process(pid).memory_info().rss


class Echo(asyncio.Protocol):
    """Every byte comes back, from one callback."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._transport.write(data)


def _serve(protocol: type[asyncio.Protocol], told: Connection) -> None:
    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(protocol, "127.0.0.1", 0, backlog=4096)
        told.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    run(serve())


@contextmanager
def running_protocol(protocol: type[asyncio.Protocol]) -> Iterator[int]:
    """A bare server of ``protocol`` in a process of its own; its port."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=_serve, args=(protocol, theirs), daemon=True)
    process.start()
    try:
        yield ours.recv()
    finally:
        process.kill()
        process.join()
