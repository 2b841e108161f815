"""A UDP server of a few lines that stores records in memory, and answers by a script."""

import asyncio
from types import TracebackType
from typing import Self

from tiny_server import Answer

from teltonika.codecs import AvlPacket, AvlRecord, DecodeError
from teltonika.codecs.framing import decode_data
from teltonika.codecs.udp import Datagram, DatagramAnswer, decode_datagram, encode_answer


class TinyUdpServer(asyncio.DatagramProtocol):
    """``async with TinyUdpServer(script) as server``: an answer for each datagram in turn, behind
    the script's end RIGHT. It acknowledges as many records as the datagram holds, stores what it
    has not stored of that device already, and says nothing to what is no datagram.
    """

    def __init__(self, *script: Answer, port: int = 0) -> None:
        self.port = port
        self.datagrams: list[bytes] = []
        """All that came."""
        self.records: dict[str, list[AvlRecord]] = {}
        """IMEI to what is stored, in the order in which it came."""
        self.stored_already = 0
        """Records that came again."""
        self.complaints: list[str] = []
        self.came = asyncio.Event()
        self._script = list(script)
        self._seen: set[tuple[str, AvlRecord]] = set()

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, local_addr=("127.0.0.1", self.port)
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
        self.came.set()
        try:
            datagram = decode_datagram(data)
            packet = decode_data(datagram.data)
        except DecodeError as error:
            self.complaints.append(error.code)
            return
        assert isinstance(packet, AvlPacket)
        self._store(datagram, packet)
        answer = self._script.pop(0) if self._script else Answer.RIGHT
        if answer is not Answer.SILENCE:
            count = len(packet.records) + (answer is Answer.WRONG)
            ids = (datagram.packet_id, datagram.avl_packet_id)
            self.answer(encode_answer(DatagramAnswer(*ids, count)), addr)

    def answer(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)

    def _store(self, datagram: Datagram, packet: AvlPacket) -> None:
        stored = self.records.setdefault(datagram.imei, [])
        for record in packet.records:
            if (datagram.imei, record) in self._seen:
                self.stored_already += 1
            else:
                self._seen.add((datagram.imei, record))
                stored.append(record)
