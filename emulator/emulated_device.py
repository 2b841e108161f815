"""What a device is whatever carries its packets: records, the packet that is out, counts.

`DeviceMachine` is one over TCP, `UdpMachine` one over UDP: both are state machines without a socket
and a clock, and whoever drives them need not know which it is.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterable, Iterator
from enum import Enum, auto
from itertools import islice
from typing import ClassVar

import msgspec

from teltonika.codecs import AvlCodec, AvlRecord, EncodeError, parse_imei
from teltonika.emulator.events import DeviceEvent, PacketDelivered
from teltonika.emulator.report import DeviceReport
from teltonika.emulator.unit import Unit


class DeviceState(Enum):
    """Where a device stands, and so what it wants from whoever drives it."""

    __hash__ = object.__hash__  # ten times as fast as that of an enum's name

    DISCONNECTED = auto()
    """Wants a connection: `EmulatedDevice.connection_made`."""
    AWAITING_ANSWER = auto()
    """Has said its IMEI: wants the server's bytes, or `EmulatedDevice.answer_timed_out`."""
    READY = auto()
    """Nothing in flight: wants `EmulatedDevice.send_next` when the next packet is due."""
    AWAITING_ACK = auto()
    """A packet in flight: wants the server's bytes, or `EmulatedDevice.answer_timed_out`."""
    CLOSING = auto()
    """Wants its connection closed; `EmulatedDevice.complaint` says why."""
    DONE = auto()
    """Every record was acknowledged; wants its connection closed, and no other."""


class Action(Enum):
    """What moves a device on."""

    __hash__ = object.__hash__

    CONNECT = auto()
    ACCEPT = auto()
    SEND = auto()
    ANSWER = auto()
    """The copy in flight was answered, rightly or wrongly."""
    TIME_OUT = auto()
    """It was not in time, and another may follow at once: only where an answer names its packet."""
    BREAK_OFF = auto()
    LOSE = auto()
    FINISH = auto()


_S, _A = DeviceState, Action
TRANSITIONS: dict[tuple[DeviceState, Action], DeviceState] = {
    (_S.DISCONNECTED, _A.CONNECT): _S.AWAITING_ANSWER,
    (_S.AWAITING_ANSWER, _A.ACCEPT): _S.READY,
    (_S.READY, _A.SEND): _S.AWAITING_ACK,
    (_S.AWAITING_ACK, _A.ANSWER): _S.READY,
    (_S.AWAITING_ACK, _A.TIME_OUT): _S.READY,
    # the device wants to leave
    (_S.AWAITING_ANSWER, _A.BREAK_OFF): _S.CLOSING,
    (_S.READY, _A.BREAK_OFF): _S.CLOSING,
    (_S.AWAITING_ACK, _A.BREAK_OFF): _S.CLOSING,
    # the connection is gone
    (_S.AWAITING_ANSWER, _A.LOSE): _S.DISCONNECTED,
    (_S.READY, _A.LOSE): _S.DISCONNECTED,
    (_S.AWAITING_ACK, _A.LOSE): _S.DISCONNECTED,
    (_S.CLOSING, _A.LOSE): _S.DISCONNECTED,
    (_S.DONE, _A.LOSE): _S.DONE,
    # no record is left; with one in flight a device cannot finish
    (_S.DISCONNECTED, _A.FINISH): _S.DONE,
    (_S.AWAITING_ANSWER, _A.FINISH): _S.DONE,
    (_S.READY, _A.FINISH): _S.DONE,
    (_S.CLOSING, _A.FINISH): _S.DONE,
    (_S.DONE, _A.FINISH): _S.DONE,
}
"""Every move a device can make. Any other is a mistake of the caller: RuntimeError."""

DEAF = frozenset((DeviceState.DISCONNECTED, DeviceState.CLOSING, DeviceState.DONE))
"""States in which the server's bytes mean nothing any more."""


FLOODED = "the server sends without end what the device did not ask for"
"""A device's complaint, where that is why it closes."""
FLOOD = 1_000
"""Messages that a device can do nothing with: after so many in a minute, with no packet
acknowledged between them, it leaves the connection."""
_MINUTE_MS = 60_000


class Packet(msgspec.Struct, frozen=True, gc=False):
    """As it goes out, each time the same."""

    encoded: bytes
    record_count: int


class EmulatedDevice(ABC):
    """One device and its records.

    ``records`` are sent in their order, ``records_per_packet`` (1 to 255) at a time, until
    ``record_count`` of them are delivered, or, where that is None, until they end. ``unit`` is what
    commands act on and ask; without, one as it comes from the factory.

    After each call `data_to_send` holds what the transport must write, and `state` what the device
    wants next. Raises ValueError if ``imei`` is none.
    """

    __slots__ = (
        "_ignores_acks",
        "_records_left",
        "_unacknowledged",
        "_useless",
        "_useless_since_ms",
        "codec",
        "complaint",
        "imei",
        "records",
        "records_per_packet",
        "report",
        "state",
        "unit",
    )

    FRAMING_SIZE: ClassVar[int]
    """Bytes of a packet around its data field."""
    MAX_SIZE: ClassVar[int]
    """Bytes of the largest packet."""

    def __init__(
        self,
        imei: str,
        codec: AvlCodec,
        records: Iterator[AvlRecord],
        *,
        unit: Unit | None = None,
        records_per_packet: int = 1,
        record_count: int | None = None,
    ) -> None:
        self.imei = parse_imei(imei)
        self.unit = unit or Unit(imei)
        self.codec = codec
        self.state = DeviceState.DISCONNECTED
        self.complaint = ""
        """Why the device closed, or closes, its last connection; empty if it did not."""
        self.report = DeviceReport(imei=imei)
        self.records = records
        """Taken from as packets are made, `records_per_packet` at a time."""
        self.records_per_packet = records_per_packet
        self._records_left = record_count
        self._unacknowledged: deque[Packet] = deque()
        self._ignores_acks = False
        self._useless = 0
        self._useless_since_ms = 0
        self._begin_session()

    @property
    def has_unacknowledged(self) -> bool:
        """Whether records were sent and not acknowledged, on this connection or one before."""
        return bool(self._unacknowledged)

    def connection_made(self) -> None:
        """The transport stands."""
        self._move(Action.CONNECT)
        self.report.connections += 1
        self.complaint = ""
        self._useless = 0
        self._begin_session()

    def connection_lost(self) -> None:
        """The transport is gone, whoever closed it. What was in flight is kept."""
        self._ignores_acks = False
        self._move(Action.LOSE)

    @abstractmethod
    def receive_data(self, data: bytes) -> list[DeviceEvent]:
        """Take what the server sent, and answer it. Never raises for what a server sends."""

    @property
    def undecided(self) -> bool:
        """Whether what came can only be understood once more has come, or nothing for a while.

        Then nothing new is to be sent before the next bytes, or `settle`.
        """
        return False

    def settle(self) -> list[DeviceEvent]:
        """Nothing more came for a while, and something is `undecided`."""
        return []

    @abstractmethod
    def answer_timed_out(self) -> None:
        """What was sent last got no answer in time."""

    def send_next(self, *, packets: int = 1, copies: int = 1, clock_off_ms: int = 0) -> None:
        """The next packet is due: queues it, or finds that the records have ended.

        A device that works queues one packet, once. ``packets`` go out together; each comes
        ``copies`` times; ``clock_off_ms`` is added to the timestamps of its records. Raises
        EncodeError for records that do not fit one packet.
        """
        self._after(Action.SEND)  # raises before a record is taken that could not be sent
        for _ in range(packets):
            if not self._make_packet(clock_off_ms):
                break
        if not self._unacknowledged:
            self._move(Action.FINISH)
            return
        self._send(self._unacknowledged, copies)

    def ignore_acks(self) -> None:
        """Take no ACK for what is in flight, as if none had come."""
        self._ignores_acks = True

    def restart(self, complaint: str = "it starts again") -> None:
        """Start again, whatever it was doing: wants its connection closed, if it has one."""
        self.report.restarts += 1
        self.unit.restart()
        if self.state not in DEAF:
            self._break_off(complaint)

    def skip(self, packet_count: int) -> None:
        """Never send the records of the next ``packet_count`` packets."""
        count = packet_count * self.records_per_packet
        self.report.records_deleted += sum(1 for _ in islice(self.records, count))

    def stop(self) -> None:
        """Send no new records: once the packet in flight, if any, is acknowledged, it is DONE."""
        self._records_left = 0
        if not self._unacknowledged:
            self._move(Action.FINISH)

    @abstractmethod
    def data_to_send(self) -> bytes:
        """What the transport must write next, in one piece; empty where nothing is left."""

    @abstractmethod
    def _begin_session(self) -> None:
        """Nothing was said yet on this connection."""

    @abstractmethod
    def _frame(self, data: bytes) -> bytes:
        """The packet around a data field."""

    @abstractmethod
    def _queue(self, packet: Packet, copies: int) -> None:
        """For `data_to_send`."""

    def _make_packet(self, clock_off_ms: int) -> bool:
        """Whether there was a record left to make one of."""
        count = self.records_per_packet
        if self._records_left is not None:
            count = min(count, self._records_left)
        batch = tuple(islice(self.records, count))
        if not batch:
            return False
        if clock_off_ms:
            batch = tuple(_with_clock_off(record, clock_off_ms) for record in batch)
        data = self.codec.encode_data(batch)
        size = len(data) + self.FRAMING_SIZE
        if size > self.MAX_SIZE:
            raise EncodeError(
                "records",
                f"{len(batch)} records make a packet of {size} bytes; "
                f"{self.MAX_SIZE} is the most: put fewer into one",
            )
        if self._records_left is not None:
            self._records_left -= len(batch)
        self.unit.last_record = batch[-1]
        self.report.packets_sent += 1
        self.report.records_sent += len(batch)
        self._unacknowledged.append(Packet(self._frame(data), len(batch)))
        return True

    def _send(self, packets: Iterable[Packet], copies: int = 1) -> None:
        self._move(Action.SEND)
        for packet in packets:
            self._queue(packet, copies)

    def _resend(self) -> None:
        """The same bytes again, of the packet that has waited longest."""
        packet = self._unacknowledged[0]
        self.report.packets_resent += 1
        self.report.records_resent += packet.record_count
        self._send((packet,))

    def _delivered(self) -> PacketDelivered:
        """The packet that has waited longest was acknowledged in full."""
        self._useless = 0
        packet = self._unacknowledged.popleft()
        self.report.packets_acknowledged += 1
        self.report.records_acknowledged += packet.record_count
        if self._records_left == 0 and not self._unacknowledged:
            self._move(Action.FINISH)
        return PacketDelivered(packet.encoded, packet.record_count)

    def _count_useless(self) -> None:
        """Count an unexpected or unknown message: after `FLOOD` of them the device hangs up."""
        if self.state in DEAF:
            return
        now_ms = self.unit.now_ms
        if not self._useless or now_ms - self._useless_since_ms >= _MINUTE_MS:
            self._useless, self._useless_since_ms = 0, now_ms
        self._useless += 1
        if self._useless >= FLOOD:
            self.report.floods += 1
            self._break_off(FLOODED)

    def _break_off(self, complaint: str) -> None:
        self._move(Action.BREAK_OFF)
        self.complaint = complaint

    def _move(self, action: Action) -> None:
        self.state = self._after(action)

    def _after(self, action: Action) -> DeviceState:
        try:
            return TRANSITIONS[self.state, action]
        except KeyError:
            raise RuntimeError(f"a device that is {self.state.name} cannot {action.name}") from None


def _with_clock_off(record: AvlRecord, off_ms: int) -> AvlRecord:
    return msgspec.structs.replace(record, timestamp_ms=max(0, record.timestamp_ms + off_ms))
