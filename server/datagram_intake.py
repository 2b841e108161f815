"""Datagrams in to the publisher, answers out once Redis has confirmed.

A datagram has no connection, and whoever sends it can name any address and any IMEI. So nothing is
kept of a sender but the datagrams that wait for their confirmation, and the bytes of those count as
all unconfirmed bytes do: past the bound, datagrams are dropped, and devices send them again. There
is one answer for each datagram that is stored, 7 bytes for 26 or more, and none for anything else:
nobody can make the server send more to an address than they sent themselves.

A device's datagrams go to the publisher one at a time, in the order in which they came. What was
on its way when a connection to Redis broke is written again, and datagrams are known by their
digests alone, of which those of a device's last packet are sure to be kept.

A device that is not heard of again while its datagrams wait is given up, long before Redis may be
back. Nothing says that it has gone to another instance, which took the same datagram and so many
more that its digests are forgotten: written then, it would stand on the stream twice. A device that
is still there sends it again.
"""

import asyncio
import logging
from collections import deque
from typing import Any, Protocol

import msgspec

from teltonika.codecs import (
    AvlPacket,
    CommandMessage,
    DecodeError,
    ErrorCode,
    FramingError,
)
from teltonika.codecs.framing import decode_data
from teltonika.codecs.transport import Side, Transport
from teltonika.codecs.udp import (
    ENVELOPE_SIZE,
    Datagram,
    DatagramAnswer,
    decode_datagram,
    encode_answer,
)
from teltonika.server.addresses import Peer
from teltonika.server.allowance import BURST_S, Allowances
from teltonika.server.authority import Admission
from teltonika.server.command_dispatcher import CommandDispatcher
from teltonika.server.config import ServerSettings
from teltonika.server.counters import Counters
from teltonika.server.peer_log import PeerLog
from teltonika.server.publishers import Publishers
from teltonika.server.trace import Tracer

Address = tuple[Any, ...]
"""As a socket names it: host and port, with IPv6 more."""

WAITING_BYTES = 1_536
"""What a datagram takes while it waits, beside its own bytes: no more than so many can wait as
go into the bound. Measured for the first of a device; those behind it take less."""
GIVEN_UP_AFTER_S = 10.0
"""After so long without a datagram of it a device is given up; the most impatient ones send again
after 5 s."""
LOG_ADDRESS = "datagrams"
"""All senders share what one address may log: a limit for each would limit nobody, where every
datagram can name another one."""


class AnsweringSocket(Protocol):
    """Where a datagram came in."""

    def answer(self, answer: bytes, address: Address) -> None:
        """Send it to there; never raises."""


class DatagramSource:
    """Where one datagram came from: which device, and where its answer goes to."""

    __slots__ = ("_address", "_intake", "_socket", "imei")

    def __init__(
        self, intake: "DatagramIntake", imei: str | None, socket: AnsweringSocket, address: Address
    ) -> None:
        self._intake = intake
        self._socket = socket
        self._address = address
        self.imei = imei

    @property
    def name(self) -> str:
        """Its address, as it is limited and logged."""
        return str(Peer.at(self._address))

    def answer(self, answer: bytes) -> None:
        self.trace(Side.SERVER, answer)
        self._socket.answer(answer, self._address)

    def trace(self, sender: Side, datagram: bytes) -> None:
        """Tell of it, if the device is traced."""
        tracer = self._intake.tracer
        if self.imei is not None and self.imei in tracer.imeis:
            tracer.tell(sender, datagram, self.imei, self.name, Transport.UDP)

    def hold(self, size: int) -> None:
        """So many bytes more wait to be stored, and not by the publisher."""
        assert self.imei is not None
        self._intake.publishers.of(self.imei).hold(size)

    def let_go(self, size: int) -> None:
        """So many do not any more."""
        assert self.imei is not None
        self._intake.publishers.of(self.imei).let_go(size)

    def say(self, level: int, event: str, **fields: object) -> None:
        """Log something that a datagram is the cause of."""
        names = {"peer": self.name}
        if self.imei is not None:
            names["imei"] = self.imei
        self._intake.peer_log.say(level, LOG_ADDRESS, event, **names, **fields)


class _Waiting(msgspec.Struct):
    datagram: Datagram
    source: DatagramSource
    """Of the last time that it came: a device behind NAT may have another address by then."""
    read_at: float
    """When it came first, on the loop's clock."""

    @property
    def size(self) -> int:
        return WAITING_BYTES + len(self.datagram.data)


class _Device:
    """A device with datagrams that wait, for as long as there are any."""

    __slots__ = ("_intake", "ended", "heard", "imei", "publisher", "size", "waiting")

    connection = b""
    """None: the script that stores packets compares none then."""

    def __init__(self, intake: "DatagramIntake", imei: str) -> None:
        self._intake = intake
        self.imei = imei
        self.publisher = intake.publishers.of(imei)
        self.ended = False
        self.waiting: deque[_Waiting] = deque()
        self.size = 0
        self.heard = 0.0
        """When a datagram came last, on the loop's clock."""

    # -- the publisher calls these ---------------------------------------------------------

    def current(self) -> None:
        """Never: there is no connection to be opened."""

    def superseded(self) -> None:
        """Never: there is no connection that could be older than another."""

    def confirmed(self, record_count: int, size: int, read_at: float) -> None:
        """Redis has the first of those that wait."""
        if not self.ended:
            self._intake.confirmed(self, record_count)


class DatagramIntake:
    """All datagrams of an instance; `receive` never raises for what is in one."""

    def __init__(
        self,
        settings: ServerSettings,
        publishers: Publishers,
        admission: Admission,
        commands: CommandDispatcher,
        peer_log: PeerLog,
        counters: Counters,
        tracer: Tracer,
    ) -> None:
        self.publishers = publishers
        self.peer_log = peer_log
        self.tracer = tracer
        self._max_size = settings.max_packet_size
        self._max_device_bytes = settings.max_unconfirmed_session_bytes
        self._admission = admission
        self._commands = commands
        self._counters = counters
        self._now = asyncio.get_running_loop().time
        rate, empty = settings.max_device_rate, settings.max_empty_frames
        self._bytes = Allowances(rate, BURST_S * rate)  # by source: an IMEI may be another's
        self._empty = Allowances(empty / 60, empty)
        self._devices: dict[str, _Device] = {}
        self._stopped = False
        self._settled = asyncio.Event()
        self._settled.set()

    def receive(self, data: bytes, socket: AnsweringSocket, address: Address) -> None:
        """Take a datagram in, or drop it; its answer comes once its records are stored."""
        if self._stopped:
            return
        self._counters.bytes_received += len(data)
        if self.publishers.are_full:  # first of all: a flood is to cost little
            self._counters.datagrams_dropped += 1
            return
        source = DatagramSource(self, None, socket, address)
        now = self._now()
        if self._bytes.wait_s(source.name, now) or self._empty.wait_s(source.name, now):
            self._counters.datagrams_dropped += 1
            return
        if (allowed := self._bytes.of(source.name)) is not None and allowed.use(len(data), now):
            self._counters.device_rate_pauses += 1
            source.say(logging.WARNING, "datagrams_not_heard", limit="--max-device-rate")
        try:
            self._check_size(data)
            datagram = decode_datagram(data)
            source.imei = datagram.imei
            source.trace(Side.DEVICE, data)
            if not self._may_send(source, datagram.imei) or self._waits(datagram, source):
                return
            if self.publishers.of(datagram.imei).is_full:
                self._counters.datagrams_dropped += 1
                return
            content = decode_data(datagram.data, ENVELOPE_SIZE)
        except DecodeError as error:
            self._counters.datagrams_broken += 1
            self._count_empty(source)
            self._counters.packets_too_large += error.code is ErrorCode.PACKET_TOO_LARGE
            source.say(
                logging.WARNING, "datagram_broken", code=str(error.code), error=error.message
            )
            return
        if isinstance(content, CommandMessage):
            # never an answer to a command, which go out on TCP: anyone could send one
            self._counters.datagrams += 1
            self._counters.messages[content.codec_id] += 1
            if not content.content:
                self._count_empty(source)
            self._commands.unasked(source, content)
        else:
            self._take(datagram, content, source)

    @property
    def waiting(self) -> int:
        """Datagrams that wait for their confirmation."""
        return sum(len(device.waiting) for device in self._devices.values())

    def stop(self) -> None:
        """Take no more in; what waits is stored and answered."""
        self._stopped = True

    async def settled(self) -> None:
        """Return once nothing waits."""
        await self._settled.wait()

    def give_up(self, *, all_of_them: bool = False) -> None:
        """What waits of devices that were not heard of for long, or of all, is not stored any more.

        What is on its way to Redis may be; it is not answered.
        """
        past = self._now() - GIVEN_UP_AFTER_S
        for device in list(self._devices.values()):
            if all_of_them or device.heard < past:
                device.ended = True  # the publisher writes nothing of it
                device.publisher.let_go(device.size)
                self._counters.datagrams_dropped += len(device.waiting)
                self._forget(device)

    def confirmed(self, device: _Device, record_count: int) -> None:
        """Redis has the first of the datagrams that wait of a device: answer it."""
        waiting = device.waiting.popleft()
        device.size -= waiting.size
        device.publisher.let_go(waiting.size)
        datagram = waiting.datagram
        answer = DatagramAnswer(datagram.packet_id, datagram.avl_packet_id, record_count)
        encoded = encode_answer(answer)
        waiting.source.answer(encoded)
        self._counters.bytes_sent += len(encoded)
        self._counters.ack_latency_s.observe(self._now() - waiting.read_at)
        waiting.source.say(logging.DEBUG, "datagram_answered", records=record_count)
        if device.waiting:
            following = device.waiting[0]
            packet = decode_data(following.datagram.data, ENVELOPE_SIZE)
            assert isinstance(packet, AvlPacket)
            device.publisher.submit(device, device.imei, packet, following.read_at)
        else:
            self._forget(device)

    def unanswered(self) -> None:
        """An answer could not be sent."""
        self._counters.datagrams_unanswered += 1

    # --------------------------------------------------------------------------------------

    def _count_empty(self, source: DatagramSource) -> None:
        """A datagram brought neither records nor text: past a limit its source is not heard."""
        allowed = self._empty.of(source.name)
        if allowed is not None and allowed.use(1, self._now()):
            self._counters.empty_frame_floods += 1
            source.say(logging.WARNING, "datagrams_not_heard", limit="--max-empty-frames")

    def _check_size(self, data: bytes) -> None:
        if len(data) > self._max_size:
            raise FramingError(
                ErrorCode.PACKET_TOO_LARGE,
                0,
                f"a datagram of {len(data)} bytes is over the limit of {self._max_size}",
                expected=self._max_size,
                found=len(data),
            )

    def _may_send(self, source: DatagramSource, imei: str) -> bool:
        known = self._admission.knows(imei)
        reason = self._admission.refusal(imei)
        if reason is not None:
            self._counters.datagrams_refused += 1
            source.say(logging.INFO, "datagram_refused", reason=reason)
        elif known is False:
            source.say(logging.INFO, "datagram_of_unknown_device", known=known)
        return reason is None

    def _waits(self, datagram: Datagram, source: DatagramSource) -> bool:
        """Whether the same one waits: its answer comes once, to where it came from last."""
        device = self._devices.get(datagram.imei)
        if device is None:
            return False
        for waiting in device.waiting:
            if waiting.datagram == datagram:
                waiting.source = source
                device.heard = self._now()
                self._counters.datagrams_repeated += 1
                return True
        return False

    def _forget(self, device: _Device) -> None:
        del self._devices[device.imei]
        if not self._devices:
            self._settled.set()

    def _take(self, datagram: Datagram, packet: AvlPacket, source: DatagramSource) -> None:
        device = self._devices.get(datagram.imei)
        waiting = _Waiting(datagram, source, self._now())
        if device is None:
            device = self._devices[datagram.imei] = _Device(self, datagram.imei)
            self._settled.clear()
        elif device.size + waiting.size > self._max_device_bytes:
            self._counters.datagrams_dropped += 1
            return
        if not packet.records:
            self._count_empty(source)
        self._counters.datagrams += 1
        self._counters.packets[packet.codec_id] += 1
        self._counters.records[packet.codec_id] += len(packet.records)
        device.heard = waiting.read_at
        device.waiting.append(waiting)
        device.size += waiting.size
        device.publisher.hold(waiting.size)
        if len(device.waiting) == 1:
            device.publisher.submit(device, device.imei, packet, waiting.read_at)
