"""Ingest: through real sockets to a confirmed, fsynced stream entry and back to the ACK.

Beside it the ceiling: the very same Redis commands, packed beforehand, sent by one bare client
over one connection to the same Valkey, replies read as they come.
"""

import asyncio
import socket
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import hiredis
import msgspec

from benchmarks.workloads import Workload
from teltonika.codecs import AvlPacket, decode_packet, encode_imei, luhn_check_digit
from teltonika.server import Listening
from teltonika.server.keys import Keys
from teltonika.server.redis_link import pack_command
from teltonika.server.scripts import STORE_PACKET
from teltonika.server.streams import packet_arguments

KEYS = Keys()
MAXLEN = 1_000_000


@contextmanager
def running_server() -> Iterator[Listening]:
    """The installed `teltonika serve` with its embedded Valkey, on a free port."""
    with tempfile.TemporaryDirectory(prefix="teltonika-bench-") as directory:
        command = ["teltonika", "serve", "--host", "127.0.0.1", "--port", "0"]
        command += ["--data-dir", directory, "--log-level", "error"]
        server = subprocess.Popen(command, stdout=subprocess.PIPE)
        assert server.stdout is not None
        try:
            yield msgspec.json.decode(server.stdout.readline(), type=Listening)
        finally:
            server.terminate()
            server.wait()


class _BareDevice(asyncio.Protocol):
    """Sends its packets one after another, each once the one before is acknowledged."""

    def __init__(self, imei: str, packets: list[bytes], done: asyncio.Event) -> None:
        self._imei = imei
        self._packets = iter(packets)
        self._done = done
        self._transport: asyncio.Transport | None = None
        self._due = 1  # bytes of the answer that is awaited

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]
        transport.write(encode_imei(self._imei))  # type: ignore[attr-defined]

    def data_received(self, data: bytes) -> None:
        assert self._transport is not None
        self._due -= len(data)
        if self._due:
            return
        packet = next(self._packets, None)
        if packet is None:
            self._transport.close()
            self._done.set()
        else:
            self._due = 4
            self._transport.write(packet)


def imei_of(number: int) -> str:
    digits = f"35630704{number:06d}"
    return f"{digits}{luhn_check_digit(digits)}"


async def _send(port: int, connections: int, packets: list[bytes]) -> float:
    loop = asyncio.get_running_loop()
    finished = []
    start = time.perf_counter()
    for number in range(connections):
        done = asyncio.Event()
        finished.append(done)
        mine = packets[number::connections]
        await loop.create_connection(
            lambda n=number, m=mine, d=done: _BareDevice(imei_of(n), m, d),  # type: ignore[misc]
            "127.0.0.1",
            port,
        )
    for done in finished:
        await done.wait()
    return time.perf_counter() - start


def through_server(server: Listening, connections: int, packets: list[bytes]) -> float:
    """Seconds until every packet is acknowledged."""
    import uvloop  # noqa: PLC0415

    return uvloop.run(_send(server.port, connections, packets))


def avl_packet(packet: bytes) -> AvlPacket:
    decoded = decode_packet(packet)
    assert isinstance(decoded, AvlPacket)
    return decoded


def ceiling(server: Listening, packets: list[bytes]) -> float:
    """Seconds until Valkey has confirmed the same commands to a bare client."""
    imei = imei_of(999_999)  # no device of the server's
    commands = [
        pack_command(
            *("EVALSHA", STORE_PACKET.sha, 2, KEYS.telemetry, KEYS.dedupe, *arguments, number, 0)
        )
        for number, packet in enumerate(packets, start=1)
        for arguments, _ in (packet_arguments(imei, avl_packet(packet), MAXLEN, bytes(8)),)
    ]
    packed = b"".join(commands)
    reader = hiredis.Reader()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(urlsplit(server.redis).path)
        connection.sendall(pack_command("SCRIPT", "LOAD", STORE_PACKET.source))
        connection.recv(1000)
        start = time.perf_counter()
        sender = threading.Thread(target=connection.sendall, args=(packed,))
        sender.start()
        missing = len(commands)
        while missing:
            reader.feed(connection.recv(65_536))
            while (reply := reader.gets()) is not False:
                assert isinstance(reply, int), reply
                missing -= 1
        sender.join()
        return time.perf_counter() - start


def resident_bytes(pid: int) -> int:
    """Resident set of a process, from /proc."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * 4096


def idle_connection_bytes(connections: int) -> float:
    """The server's memory for each connection that said its IMEI and is silent."""
    with running_server() as server:
        sockets = []
        before = resident_bytes(server.pid)
        for number in range(connections):
            connection = socket.create_connection(("127.0.0.1", server.port))
            connection.sendall(encode_imei(imei_of(number)))
            assert connection.recv(1) == b"\x01"
            sockets.append(connection)
        after = resident_bytes(server.pid)
        for connection in sockets:
            connection.close()
    return (after - before) / connections


def measure(
    workload: Workload, connections: int, records: int, seed: int, server: Listening
) -> tuple[float, float]:
    """Records a second through the server, and of the ceiling, in one round."""
    packets = workload.packets(records // workload.records_per_packet, seed)
    count = len(packets) * workload.records_per_packet
    return count / through_server(server, connections, packets), count / ceiling(server, packets)
