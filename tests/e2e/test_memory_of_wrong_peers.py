"""A server's memory is the same after thousands of peers that were wrong in the same way."""

import asyncio
import contextlib
import socket
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import counted_server
import psutil
import pytest
from certificates import Certificates
from datagrams import answer, datagram, records
from live_objects import MOST
from samples import HANDSHAKE, PACKET, framed
from serving import BareDatagrams, BareDevice, ServerProcess

from teltonika.codecs import encode_imei

StartServer = Callable[..., ServerProcess]
TIMES = 20_000
FEWER_TIMES = 1_200
"""Where each takes a connection of its own: still more than what may stay. What a connection
does with its bytes is done 20,000 times by `test_memory_of_wrong_bytes.py`, without sockets."""
WARM_UP_PART = 10
"""Of the times, before it is counted."""
AT_A_TIME = 50
MOST_BYTES = 8_000_000
"""By so much may the process grow: 400 bytes for each of 20,000 peers."""
MOST_DESCRIPTORS = 100
"""The last peers' may be open yet."""
QUIET = ("--log-lines-per-peer", "20")
MOST_LINES = 50
"""A server may log of them, whatever minute begins meanwhile."""
SETTLES_WITHIN_S = 30.0


class Counted:
    """A server whose live objects are counted."""

    def __init__(self, start_server: StartServer, *options: str, **more: object) -> None:
        self._name = f"teltonika-{uuid.uuid4()}"
        program = (sys.executable, counted_server.__file__, self._name)
        self.server = start_server(*QUIET, *options, program=program, **more)
        self._process = psutil.Process(self.server.process.pid)

    async def does_not_grow(self, peers: Callable[[int], Awaitable[None]], times: int) -> None:
        """``peers`` has so many come and go; only what the last of them left may be there yet."""
        await peers(times // WARM_UP_PART)
        before, resident = await self._counts(), self._process.memory_info().rss
        descriptors, lines = self._process.num_fds(), len(self.server.log())
        await peers(times)
        deadline = time.monotonic() + SETTLES_WITHIN_S
        while True:
            growth = max(now - then for then, now in zip(before, await self._counts(), strict=True))
            if growth < MOST or time.monotonic() > deadline:
                break
        assert growth < MOST
        assert self._process.memory_info().rss - resident < MOST_BYTES
        assert self._process.num_fds() < descriptors + MOST_DESCRIPTORS
        assert len(self.server.log()) < lines + MOST_LINES

    async def _counts(self) -> tuple[int, int]:
        return await asyncio.to_thread(counted_server.counts_of, self._name)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Counted]:
    """One server for all that need no options; without the limit, past which nothing of a peer
    would be looked at."""
    with ExitStack() as stack:

        def start(*options: str, **more: Any) -> ServerProcess:
            data_dir = tmp_path_factory.mktemp("data")
            return stack.enter_context(ServerProcess(data_dir, *options, **more))

        yield Counted(start, "--udp-port", "0", "--max-empty-frames", "0")


@dataclass(frozen=True)
class Wrong:
    """One way to be wrong: what is sent on each of so many connections, until the server closes."""

    says: bytes
    options: tuple[str, ...] = ()
    held: int = 0
    """Devices that are connected meanwhile."""
    half_closes: bool = False


MESSAGE = framed(b"\x0c\x01\x07" + bytes(4) + b"\x01")
OTHER_IMEI = encode_imei("356307042441020")
WRONG = {
    "an HTTP request": Wrong(b"GET / HTTP/1.1\r\n\r\n"),
    "half a handshake": Wrong(HANDSHAKE[:9], half_closes=True),
    "an IMEI whose check digit is wrong": Wrong(OTHER_IMEI, ("--require-luhn",)),
    "too many connections": Wrong(b"", ("--max-connections", "1"), held=1),
    "too many of an address": Wrong(b"", ("--max-per-address", "1"), held=1),
    "no PROXY header": Wrong(b"GET / HTTP/1.1\r\n\r\n", ("--proxy-protocol",)),
    "half a PROXY header": Wrong(b"PROXY TCP4", ("--proxy-protocol",), half_closes=True),
    "no TLS": Wrong(b"GET / HTTP/1.1\r\n\r\n", ("--tls-cert", "", "--tls-key", "")),
}


def wrong_peers(server: ServerProcess, wrong: Wrong, count: int) -> None:
    """So many, some at a time; each says what it has to say and waits until it is closed."""
    for _ in range(0, count, AT_A_TIME):
        with ExitStack() as stack:
            peers = [
                stack.enter_context(socket.create_connection(("127.0.0.1", server.port), 30))
                for _ in range(AT_A_TIME)
            ]
            for peer in peers:
                with contextlib.suppress(ConnectionError):  # closed before it said anything
                    peer.sendall(wrong.says)
                    if wrong.half_closes:
                        peer.shutdown(socket.SHUT_WR)
            for peer in peers:
                with contextlib.suppress(ConnectionError):  # closed with something unread
                    while peer.recv(1_000):
                        pass


@pytest.mark.parametrize("kind", WRONG)
async def test_peers_that_are_closed_leave_nothing(
    kind: str, tmp_path: Path, start_server: StartServer, request: pytest.FixtureRequest
) -> None:
    wrong = WRONG[kind]
    options = wrong.options
    if "--tls-cert" in options:
        certificates = Certificates(tmp_path / "certificates")
        options = ("--tls-cert", str(certificates.server_cert))
        options += ("--tls-key", str(certificates.server_key))
    counted: Counted = (
        Counted(start_server, *options) if options else request.getfixturevalue("shared")
    )
    with ExitStack() as stack:
        for _ in range(wrong.held):
            stack.enter_context(BareDevice(counted.server.port))

        def come_and_go(count: int) -> Awaitable[None]:
            return asyncio.to_thread(wrong_peers, counted.server, wrong, count)

        await counted.does_not_grow(come_and_go, FEWER_TIMES)


PACKETS_EACH, ENDED_EACH = 50, 13
"""By so many less than all are the connections: of those that go on, and those that are ended."""
WRONG_PACKETS = {
    "wrong CRCs": (framed(PACKET[8:-4], crc_change=1) * PACKETS_EACH, PACKETS_EACH),
    "messages of an unknown type": (MESSAGE * PACKETS_EACH, PACKETS_EACH),
    "an unknown codec": (framed(b"\x07\x00\x00"), ENDED_EACH),
    "a preamble that is none": (b"\x00\x01\x00\x00", ENDED_EACH),
}


@pytest.mark.parametrize("kind", WRONG_PACKETS)
async def test_devices_that_send_what_is_wrong_leave_nothing(kind: str, shared: Counted) -> None:
    """In turn, each on a connection of its own."""
    packets, each = WRONG_PACKETS[kind]
    port = shared.server.port

    async def devices(count: int) -> None:
        async def come_and_go(number: int) -> None:
            imei = encode_imei(f"35630704{number:07d}")
            for _ in range(number, count // each, AT_A_TIME):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(imei + packets)
                    assert await reader.readexactly(1) == b"\x01"
                    writer.write_eof()
                    await reader.read()
                except ConnectionError:
                    pass  # closed with something unread
                finally:
                    writer.close()

        async with asyncio.TaskGroup() as group:
            for number in range(AT_A_TIME):
                group.create_task(come_and_go(number))

    await shared.does_not_grow(devices, TIMES)


async def test_connections_that_are_taken_over_leave_nothing(shared: Counted) -> None:
    port = shared.server.port

    async def devices(count: int) -> None:
        async def hop(number: int) -> None:
            imei = encode_imei(f"35630704{number:07d}")
            async with AsyncExitStack() as stack:
                for _ in range(number, count, AT_A_TIME):
                    reader, writer = await asyncio.open_connection("127.0.0.1", port)
                    writer.write(imei)
                    assert await reader.readexactly(1) == b"\x01"
                    await stack.aclose()
                    stack.callback(writer.close)

        async with asyncio.TaskGroup() as group:
            for number in range(AT_A_TIME):
                group.create_task(hop(number))

    await shared.does_not_grow(devices, FEWER_TIMES)


BROKEN_DATAGRAMS = (
    *(b"\x00", datagram(records(1)) + b"\x00", datagram(b"\x07\x00\x00")),
    *(datagram(records(1), imei="356307042441013")[:-1], datagram(records(1)[:-1] + b"\x02")),
)


async def test_broken_datagrams_leave_nothing(shared: Counted) -> None:
    def send(count: int) -> None:
        with BareDatagrams(shared.server.udp_port) as device:
            for _ in range(0, count, AT_A_TIME):
                for number in range(AT_A_TIME):
                    device.send(BROKEN_DATAGRAMS[number % len(BROKEN_DATAGRAMS)])
                device.send(datagram(records(1)))  # no more than the socket's buffer holds
                assert device.answer() == answer(1)

    await shared.does_not_grow(lambda count: asyncio.to_thread(send, count), 5_000)


async def test_commands_that_fail_leave_nothing(shared: Counted) -> None:
    server = shared.server
    wrong = (
        {"imei": "x", "payload": "getver"},
        {"imei": "356307042441013", "payload": "getver", "timeout_s": "never"},
        {"imei": "356307042441013", "payload": "getver", "codec": "99"},
        {"payload": "getver"},
    )

    def publish(count: int) -> None:
        for _ in range(0, count, 500):
            with server.redis.pipeline(transaction=False) as pipeline:
                for number in range(500):
                    command = wrong[number % len(wrong)]
                    pipeline.xadd(server.outbound, {"command_id": str(uuid.uuid4()), **command})
                pipeline.execute()
            server.all_taken()

    await shared.does_not_grow(lambda count: asyncio.to_thread(publish, count), 5_000)
