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
from teltonika.server.udp import TURN_DATAGRAMS, UdpPort

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
            endpoint.answer(b"answer", address)
        endpoint.answer(b"closed", address)
        assert received.lost == 2
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


class Turn(Received):
    """Notes how many datagrams came before the event loop had its next turn."""

    def __init__(self) -> None:
        super().__init__()
        self.turns: list[int] = []

    def receive(self, data: bytes, endpoint: Any, address: Address) -> None:
        if not self.turns or self.turns[-1] < 0:
            self.turns.append(0)
            asyncio.get_running_loop().call_soon(self._over)
        self.turns[-1] += 1
        super().receive(data, endpoint, address)

    def _over(self) -> None:
        self.turns.append(-1)


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop])
@pytest.mark.parametrize(("size", "most"), [(10, TURN_DATAGRAMS), (8_192, 2)])
def test_one_turn_of_the_loop_takes_in_so_much_however_much_has_come(
    new_loop: Callable[[], asyncio.AbstractEventLoop],
    size: int,
    most: int,
    device: socket.socket,
) -> None:
    count = most + 4

    async def talk() -> None:
        received = Turn()
        port = UdpPort(received)
        device.connect((HOST, port.bind(HOST, 0)))
        for _ in range(count):
            device.send(bytes(size))
        async with background(port.run()):
            for _ in range(count):
                await received.datagrams.get()
        assert max(received.turns) == most

    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(talk())
