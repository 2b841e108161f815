"""A little server that speaks Teltonika rightly, and breaks one rule if it is told to."""

import asyncio
from enum import StrEnum
from types import TracebackType
from typing import Self, cast

from teltonika.codecs import (
    AvlPacket,
    AvlRecord,
    CommandMessage,
    DecodeError,
    crc16_ibm,
)
from teltonika.codecs.framing import decode_data

IMEI_SIZE = 17
LARGEST = 65_536
UDP_HEAD_SIZE = 23


class Rule(StrEnum):
    """What the server does wrong."""

    REJECTS_ALL = "rejects every IMEI"
    ANSWERS_IMEI_IN_FOUR_BYTES = "answers the IMEI with 00000001"
    GREETS_BEHIND_IMEI = "sends another byte behind the 01"
    ACCEPTS_HALF_AN_IMEI = "accepts the IMEI once eight bytes of it came"
    IMEI_IN_ONE_READ = "closes on an IMEI that is not there with the first read"
    DROPS_WHAT_FOLLOWS_IMEI = "throws away what came in one read with the IMEI"
    ONE_CONNECTION_A_DEVICE = "rejects an IMEI that is connected already"
    OLD_CLOSE_ENDS_NEW = "closes a device's connections with the first that ends"
    ACCEPTS_UNKNOWN = "accepts the IMEI that it must refuse"
    CLOSES_ON_UNKNOWN = "closes on the IMEI that it must refuse without the 00"
    ACCEPTS_LETTERS = "accepts any 15 characters"

    ACKS_ONE_MORE = "acknowledges one record more than came"
    ACKS_PACKETS = "acknowledges packets, not records: always 1"
    ACKS_LITTLE_ENDIAN = "acknowledges in little-endian"
    ACKS_IN_ONE_BYTE = "acknowledges in one byte"
    ACKS_TWICE = "acknowledges each packet twice"
    ACKS_BEFORE_THE_END = "acknowledges when all but the last byte came"
    ACKS_BEHIND_HEADER = "acknowledges when the counts came"
    ACKS_WRONG_CRC = "acknowledges whatever the CRC says"
    ACKS_WRONG_CRC_WITH_ONE = "acknowledges one record of a packet with a wrong CRC"
    ACKS_WRONG_CRC_WITH_ZERO = "answers a wrong CRC with an ACK of no records"
    CLOSES_ON_WRONG_CRC = "closes on a wrong CRC"
    DEAF_AFTER_WRONG_CRC = "reads nothing more after a wrong CRC"
    IGNORES_HIGH_CRC = "compares the low two bytes of the CRC"
    IGNORES_SECOND_COUNT = "does not look at the second count"
    NO_ACK_FOR_RESENT = "does not acknowledge what it has already"
    NO_RECORDS_IN_RESENT = "acknowledges no records of what it has already"
    NOTHING_NEW_ON_THE_NEXT = "does not acknowledge what it has from an earlier connection"

    ONE_PACKET_A_READ = "takes one packet of each read"
    ONE_ACK_A_READ = "adds up the ACKs of one read"
    READ_IS_PACKET = "takes one read for one packet"
    ANSWERS_PINGS = "answers a ping with a ping"
    CLOSES_ON_PINGS = "takes a ping for a broken preamble"

    NO_255 = "takes 127 records at most"
    NO_ZERO_IO = "takes a record without IO elements for an error"
    NO_NX = "takes NX for an error"
    CODEC16_LIKE_8E = "reads codec 16 with two-byte counts"
    NO_CODEC16 = "knows no codec 16"
    NO_CODEC8E = "knows no codec 8 Extended"
    EVENT_ID_MUST_BE_THERE = "wants the event id among the elements"
    NO_64_BITS = "takes no value over 2^53"
    NARROW_VALUES = "knows values of one and two bytes"
    ONE_BYTE_OF_N = "takes 255 IO elements at most"
    NO_FIX_IS_ERROR = "refuses records without a fix"
    NO_NEGATIVES = "refuses negative coordinates"
    NO_PRIORITY = "refuses records with a priority"

    ACKS_COMMAND_FRAMES = "acknowledges command frames"
    CLOSES_ON_CODEC12 = "closes on a codec 12 frame that it did not ask for"
    CLOSES_ON_CODEC13 = "knows no codec 13"
    CLOSES_ON_CODEC15 = "knows no codec 15"
    CLOSES_ON_CODEC14 = "closes on a codec 14 frame that it did not ask for"

    IMPATIENT = "closes on a second of silence"
    IMPATIENT_IN_PACKETS = "throws away a packet that takes over 1.1 s"
    OLDER_IS_ERROR = "refuses records older than the last"
    KEEPS_HALF_A_PACKET = "keeps half a packet for the device's next connection"
    SMALL_BUFFER = "takes 1,024 bytes at most"
    DOCUMENTED_SIZES = "takes 1,280 bytes at most, and 255 records"
    LENGTH_STOPS_ALL = "waits for 4 GB and serves nobody else meanwhile"
    WAITS_FOR_4_GB = "waits for 4 GB, and serves others meanwhile"

    UDP_OTHER_PACKET_ID = "answers datagrams with packet ids of its own"
    UDP_NO_AVL_PACKET_ID = "answers datagrams with the AVL packet id 1"
    UDP_ACKS_IN_FOUR_BYTES = "answers datagrams as it does packets"
    UDP_NO_ANSWER_TO_RESENT = "does not answer a datagram that it has already"
    UDP_ACKS_BROKEN = "believes a datagram's first count"


class LittleServer:
    """``async with LittleServer(rule) as server``: TCP on `port`, datagrams on `udp_port`."""

    def __init__(self, rule: Rule | None = None, unknown_imei: str = "") -> None:
        self.rule = rule
        self.unknown_imei = unknown_imei
        self.sessions: set[_Session] = set()
        self.seen: dict[bytes, _Session] = {}
        """Each packet, and the connection on which it came first."""
        self.halves: dict[str, bytes] = {}
        self.newest: dict[str, int] = {}
        self.stopped_by: _Session | None = None

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Session(self), "127.0.0.1", 0)
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._datagrams, _ = await loop.create_datagram_endpoint(
            lambda: _Datagrams(self), ("127.0.0.1", 0)
        )
        self.udp_port: int = self._datagrams.get_extra_info("sockname")[1]
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.close()
        self._datagrams.close()
        for session in tuple(self.sessions):
            session.transport.abort()
        await self._server.wait_closed()

    def refuses(self, record: AvlRecord) -> bool:
        match self.rule:
            case Rule.NO_ZERO_IO:
                return not record.io
            case Rule.NO_NX:
                return bool(record.io.variable)
            case Rule.EVENT_ID_MUST_BE_THERE:
                return record.event_io_id not in {0, *record.io.by_id()}
            case Rule.NO_64_BITS:
                return any(value > 2**53 for value in record.io.pairs)
            case Rule.ONE_BYTE_OF_N:
                return len(record.io) > 255
            case Rule.NO_FIX_IS_ERROR:
                return not record.satellites
            case Rule.NO_NEGATIVES:
                return min(record.longitude_e7, record.latitude_e7) < 0
            case Rule.NO_PRIORITY:
                return record.priority != 0
            case Rule.NARROW_VALUES:
                return any(element.width > 2 for element in record.io if not element.is_variable)
        return False


class _Session(asyncio.Protocol):
    def __init__(self, server: LittleServer) -> None:
        self._server = server
        self._rule = server.rule
        self._buffer = b""
        self._imei = ""
        self._asked = 0
        self._acked_early = False
        self._deaf = False
        self._sum = 0
        self._timer: asyncio.TimerHandle | None = None
        self._packet_began = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self._server.sessions.add(self)
        self._restart_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.sessions.discard(self)
        if self._timer is not None:
            self._timer.cancel()
        if self._server.stopped_by is self:
            self._server.stopped_by = None
        if self._rule is Rule.KEEPS_HALF_A_PACKET:
            self._server.halves[self._imei] = self._buffer
        if self._rule is Rule.OLD_CLOSE_ENDS_NEW and self._imei:
            for other in self._others():
                other.transport.close()

    def data_received(self, data: bytes) -> None:
        self._restart_timer()
        if self._deaf or self._server.stopped_by not in (None, self):
            return
        if self._rule is Rule.READ_IS_PACKET and self._imei:
            self._buffer = b""
        self._buffer += data
        if not self._imei and not self._handshake():
            return
        while self._buffer and self._next():
            if self._rule is Rule.ONE_PACKET_A_READ:
                self._buffer = b""
        if self._sum:
            self._write(self._sum.to_bytes(4))
            self._sum = 0
        if not self._buffer:
            self._packet_began = 0.0
        elif not self._packet_began:
            self._packet_began = asyncio.get_running_loop().time()

    # --------------------------------------------------------------------------------------

    def _restart_timer(self) -> None:
        if self._rule is Rule.IMPATIENT:
            if self._timer is not None:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(1, self.transport.close)

    def _others(self) -> list["_Session"]:
        return [
            session
            for session in self._server.sessions
            if session is not self and session._imei == self._imei
        ]

    def _write(self, data: bytes) -> None:
        if not self.transport.is_closing():
            self.transport.write(data)

    def _close(self) -> bool:
        self._buffer = b""
        self.transport.close()
        return False

    def _handshake(self) -> bool:
        if self._rule is Rule.ACCEPTS_HALF_AN_IMEI and len(self._buffer) >= 8 and not self._asked:
            self._asked = 1
            self._write(b"\x01")
        if len(self._buffer) < IMEI_SIZE:
            return self._close() if self._rule is Rule.IMEI_IN_ONE_READ else False
        head, self._buffer = self._buffer[:IMEI_SIZE], self._buffer[IMEI_SIZE:]
        digits = head[2:].decode("latin-1")
        if head[:2] != b"\x00\x0f" or not (digits.isdigit() or self._rule is Rule.ACCEPTS_LETTERS):
            return self._close()
        self._imei = digits
        unknown = digits == self._server.unknown_imei and self._rule is not Rule.ACCEPTS_UNKNOWN
        if unknown and self._rule is Rule.CLOSES_ON_UNKNOWN:
            return self._close()
        twice = self._rule is Rule.ONE_CONNECTION_A_DEVICE and bool(self._others())
        if unknown or twice or self._rule is Rule.REJECTS_ALL:
            self._write(b"\x00")
            return self._close()
        if self._rule is Rule.ANSWERS_IMEI_IN_FOUR_BYTES:
            self._write(b"\x00\x00\x00\x01")
        elif not self._asked:
            self._write(b"\x01\x0a" if self._rule is Rule.GREETS_BEHIND_IMEI else b"\x01")
        if self._rule is Rule.DROPS_WHAT_FOLLOWS_IMEI:
            self._buffer = b""
        self._buffer = self._server.halves.pop(digits, b"") + self._buffer
        return True

    def _next(self) -> bool:
        """Take what stands first in the buffer; False where it is not all there."""
        buffer = self._buffer
        if buffer[0] == 0xFF and self._rule is not Rule.CLOSES_ON_PINGS:
            self._buffer = buffer[1:]
            if self._rule is Rule.ANSWERS_PINGS:
                self._write(b"\xff")
            return True
        if any(buffer[:4]):
            return self._close()
        if len(buffer) < 8:
            return False
        size = 12 + int.from_bytes(buffer[4:8])
        if size > 2**31 and self._rule in (Rule.LENGTH_STOPS_ALL, Rule.WAITS_FOR_4_GB):
            if self._rule is Rule.LENGTH_STOPS_ALL:
                self._server.stopped_by = self
            return False
        limits = {Rule.SMALL_BUFFER: 1024, Rule.DOCUMENTED_SIZES: 12_000}
        if size > limits.get(self._rule, LARGEST) or (
            self._rule is Rule.DOCUMENTED_SIZES and size > 1280 and buffer[8:9] == b"\x8e"
        ):
            return self._close()
        early = {Rule.ACKS_BEFORE_THE_END: size - 1, Rule.ACKS_BEHIND_HEADER: 10}
        due = self._rule in early and early[self._rule] <= len(buffer) < size
        if due and buffer[8] in (0x08, 0x8E, 0x10) and not self._acked_early:
            self._acked_early = True
            self._write(buffer[9:10].rjust(4, b"\0"))
        if len(buffer) < size:
            return False
        self._buffer = buffer[size:]
        took_s = asyncio.get_running_loop().time() - self._packet_began
        if self._rule is Rule.IMPATIENT_IN_PACKETS and self._packet_began and took_s > 1.1:
            return True
        return self._packet(buffer[:size])

    def _packet(self, packet: bytes) -> bool:
        data, declared = packet[8:-4], int.from_bytes(packet[-4:])
        if self._rule is Rule.IGNORES_HIGH_CRC:
            declared &= 0xFFFF
        if declared != crc16_ibm(data) and self._rule is not Rule.ACKS_WRONG_CRC:
            match self._rule:
                case Rule.ACKS_WRONG_CRC_WITH_ONE:
                    self._write(b"\0\0\0\1")
                case Rule.ACKS_WRONG_CRC_WITH_ZERO:
                    self._write(b"\0\0\0\0")
                case Rule.CLOSES_ON_WRONG_CRC:
                    return self._close()
                case Rule.DEAF_AFTER_WRONG_CRC:
                    self._deaf = True
                    return False
            return True
        if self._rule is Rule.IGNORES_SECOND_COUNT:
            data = data[:-1] + data[1:2]
        refused_codecs = {
            Rule.CLOSES_ON_CODEC12: 0x0C,
            Rule.CLOSES_ON_CODEC13: 0x0D,
            Rule.CLOSES_ON_CODEC14: 0x0E,
            Rule.CLOSES_ON_CODEC15: 0x0F,
            Rule.NO_CODEC16: 0x10,
            Rule.NO_CODEC8E: 0x8E,
        }
        if self._rule in refused_codecs and refused_codecs[self._rule] == data[0]:
            return self._close()
        if self._rule is Rule.CODEC16_LIKE_8E and data[0] == 0x10:
            data = b"\x8e" + data[1:]  # close enough: nothing fits any more
        try:
            decoded = decode_data(data)
        except DecodeError:
            return self._close()
        if not isinstance(decoded, AvlPacket):
            assert isinstance(decoded, CommandMessage)
            if self._rule is Rule.ACKS_COMMAND_FRAMES:
                self._write(b"\0\0\0\1")
            return True
        return self._records(packet, decoded.records)

    def _records(self, packet: bytes, records: tuple[AvlRecord, ...]) -> bool:
        server = self._server
        if any(server.refuses(record) for record in records):
            return self._close()
        if self._rule is Rule.NO_255 and len(records) > 127:
            return self._close()
        newest = max((record.timestamp_ms for record in records), default=0)
        if self._rule is Rule.OLDER_IS_ERROR and newest < server.newest.get(self._imei, 0):
            return self._close()
        server.newest[self._imei] = newest
        count = len(records)
        key = self._imei.encode() + packet
        again = key in server.seen
        first = server.seen.setdefault(key, self)
        if again and self._rule is Rule.NO_ACK_FOR_RESENT:
            return True
        if again and self._rule is Rule.NOTHING_NEW_ON_THE_NEXT and first is not self:
            return True
        if again and self._rule is Rule.NO_RECORDS_IN_RESENT:
            count = 0
        self._ack(count)
        return True

    def _ack(self, count: int) -> None:
        if self._acked_early:
            self._acked_early = False
            return
        match self._rule:
            case Rule.ACKS_ONE_MORE:
                self._write((count + 1).to_bytes(4))
            case Rule.ACKS_PACKETS:
                self._write(b"\0\0\0\1")
            case Rule.ACKS_LITTLE_ENDIAN:
                self._write(count.to_bytes(4, "little"))
            case Rule.ACKS_IN_ONE_BYTE:
                self._write(count.to_bytes(1))
            case Rule.ACKS_TWICE:
                self._write(count.to_bytes(4) * 2)
            case Rule.ONE_ACK_A_READ:
                self._sum += count
            case _:
                self._write(count.to_bytes(4))


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: LittleServer) -> None:
        self._rule = server.rule
        self._seen: set[bytes] = set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        packet_id, avl_packet_id = data[2:4], data[5:6]
        again = data in self._seen
        self._seen.add(data)
        try:
            decoded = decode_data(data[UDP_HEAD_SIZE:])
            assert isinstance(decoded, AvlPacket)
            count = len(decoded.records)
        except DecodeError:
            if self._rule is not Rule.UDP_ACKS_BROKEN:
                return
            count = data[UDP_HEAD_SIZE + 1]
        match self._rule:
            case Rule.UDP_OTHER_PACKET_ID:
                packet_id = b"\x00\x01"
            case Rule.UDP_NO_AVL_PACKET_ID:
                avl_packet_id = b"\x01"
        answer = b"\x00\x05" + packet_id + b"\x01" + avl_packet_id + bytes((count,))
        if self._rule is Rule.UDP_ACKS_IN_FOUR_BYTES:
            answer = count.to_bytes(4)
        if not (again and self._rule is Rule.UDP_NO_ANSWER_TO_RESENT):
            self._transport.sendto(answer, cast("tuple[str, int]", addr))
