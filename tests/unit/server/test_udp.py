"""The UDP port's sockets: what can't be sent is counted, and disturbs nothing."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest
import uvloop

from teltonika.server.background import background
from teltonika.server.datagram_intake import Address
from teltonika.server.errors import ListenError
from teltonika.server.udp import UdpPort

HOST = "127.0.0.1"


class Received:
    """In the intake's place: keeps what came, and counts what could not be sent."""

    def __init__(self) -> None:
        self.datagrams: asyncio.Queue[tuple[bytes, Any, Address]] = asyncio.Queue()
        self.lost = 0

    def receive(self, data: bytes, endpoint: Any, address: Address) -> None:
        self.datagrams.put_nowait((data, endpoint, address))

    def unanswered(self) -> None:
        self.lost += 1


@pytest.fixture
def device() -> Any:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as device:
        device.settimeout(30)
        yield device


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
def test_an_answer_that_cannot_be_sent_is_counted_and_the_next_one_is(
    new_loop: Callable[[], asyncio.AbstractEventLoop], device: socket.socket
) -> None:
    async def talk() -> None:
        received = Received()
        port = UdpPort(received)
        device.connect((HOST, port.bind(HOST, 0)))
        async with background(port.run()):
            device.send(b"question")
            data, endpoint, address = await received.datagrams.get()
            assert (data, address) == (b"question", device.getsockname())
            endpoint.answer(b"nowhere", (HOST, 0))
            assert received.lost == 1
            endpoint.pause_writing()
            endpoint.answer(b"the network is full", address)
            assert received.lost == 2
            endpoint.resume_writing()
            endpoint.answer(b"answer", address)
        endpoint.answer(b"closed", address)
        assert received.lost == 3
        assert device.recv(100) == b"answer"

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(talk())


async def test_a_port_belongs_to_one_server() -> None:
    first = UdpPort(Received())
    taken = first.bind(HOST, 0)
    with pytest.raises(ListenError, match=f"cannot listen on UDP {HOST}:{taken}: Address already"):
        UdpPort(Received()).bind(HOST, taken)
    async with background(first.run()):
        await asyncio.sleep(0)  # a task that never ran has nothing to close
    second = UdpPort(Received())
    assert second.bind(HOST, taken) == taken
    async with background(second.run()):
        await asyncio.sleep(0)


async def test_a_host_that_is_none_is_told() -> None:
    with pytest.raises(ListenError, match="cannot listen on UDP no such host:0: "):
        UdpPort(Received()).bind("no such host", 0)
