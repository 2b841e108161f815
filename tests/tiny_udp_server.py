"""A UDP server of a few lines that answers datagrams by a script."""

import asyncio
from types import TracebackType
from typing import Self

from tiny_server import Answer


class TinyUdpServer(asyncio.DatagramProtocol):
    """``async with TinyUdpServer(script) as server``: an answer for each datagram in turn, behind
    the script's end RIGHT. It acknowledges as many records as the datagram says it has."""

    def __init__(self, *script: Answer) -> None:
        self.datagrams: list[bytes] = []
        self.port = 0
        self._script = list(script)

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", 0)
        )
        self.port = self._transport.get_extra_info("sockname")[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.datagrams.append(data)
        answer = self._script.pop(0) if self._script else Answer.RIGHT
        if answer is Answer.SILENCE:
            return
        count = data[24] + (answer is Answer.WRONG)
        self._transport.sendto(b"\x00\x05" + data[2:6] + bytes((count,)), addr)
