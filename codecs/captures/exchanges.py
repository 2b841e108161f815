"""The datagrams between two ends to what was said in them, once one of them is a device's."""

from teltonika.codecs.captures.conversations import NewSession, flow_to
from teltonika.codecs.captures.found import CapturedFinding, Session
from teltonika.codecs.captures.packets import Flow, Segment
from teltonika.codecs.captures.review import SessionReview
from teltonika.codecs.errors import DecodeError, ErrorCode, FramingError
from teltonika.codecs.findings import Finding, FoundAck, FoundPing, found_error, found_packet
from teltonika.codecs.framing import PING, decode_data
from teltonika.codecs.records import AvlPacket
from teltonika.codecs.transport import Side
from teltonika.codecs.udp import (
    ENVELOPE_SIZE,
    Datagram,
    begins_datagram,
    decode_answer,
    decode_datagram,
)

_MAX_KEPT = 8
"""Answers before the first datagram of a device."""


class UdpConversation:
    """All datagrams between two ends. The device is who sends an IMEI in one."""

    __slots__ = (
        "_device_flow",
        "_kept",
        "_new_session",
        "accounted",
        "dismissed",
        "key",
        "last_frame",
        "review",
        "session",
        "started",
        "time",
    )

    def __init__(
        self,
        segment: Segment,
        time: float,
        frame: int,
        server_port: int | None,
        new_session: NewSession,
    ) -> None:
        self.key = False, segment.flow
        """By which it is found: its transport and its first direction."""
        self.session: Session | None = None
        self.dismissed = False
        """It is no device's."""
        self.last_frame = frame
        self.started = self.time = time
        self.review: SessionReview | None = None
        self.accounted = 0
        self._new_session = new_session
        self._kept: list[tuple[Segment, float, int]] = []
        self._device_flow: Flow | None = None
        if server_port is not None:
            self._device_flow = flow_to(segment.flow, server_port)
            self.dismissed = self._device_flow is None

    @property
    def held(self) -> int:
        """Bytes that wait for others."""
        return sum(len(segment.data) for segment, _, _ in self._kept)

    def add(self, segment: Segment, time: float, frame: int) -> list[CapturedFinding]:
        """What is in a datagram, and in those before it whose meaning is known by it."""
        self.last_frame = frame
        self.time = time
        if self.session is not None:
            return [self._read(self.session, segment, time, frame)]
        if self.dismissed:
            return []
        if self._device_flow is None:
            if begins_datagram(segment.data, 0):
                self._device_flow = segment.flow
            elif decode_answer(segment.data) is None or len(self._kept) == _MAX_KEPT:
                self.dismissed = True
                return []
        self._kept.append((segment, time, frame))
        if self._device_flow is None:
            return []
        self.session = session = self._new_session("udp", self._device_flow, True)
        kept, self._kept = self._kept, []
        return [self._read(session, *each) for each in kept]

    def finish(self) -> list[CapturedFinding]:
        self._kept.clear()
        return []

    def _read(self, session: Session, segment: Segment, time: float, frame: int) -> CapturedFinding:
        data = segment.data
        sender = Side.DEVICE if segment.flow == self._device_flow else Side.SERVER
        datagram: Datagram | None = None
        content: AvlPacket | Finding
        try:
            if segment.missing:
                raise _cut_short(segment)
            if sender is Side.SERVER and (answer := decode_answer(data)) is not None:
                content = FoundAck(
                    offset=0, length=len(data), transport="udp", accepted=answer.accepted
                )
            elif data == bytes((PING,)):
                content = FoundPing(offset=0, length=1, transport="udp")
            else:
                datagram = decode_datagram(data)
                session.imei = datagram.imei
                packet = decode_data(datagram.data, ENVELOPE_SIZE)
                content = (
                    packet
                    if isinstance(packet, AvlPacket)
                    else found_packet(packet, 0, len(data), datagram)
                )
        except DecodeError as error:
            content = found_error(error, len(data), "udp")
        return CapturedFinding(
            session=session,
            sender=sender,
            imei=session.imei,
            time=time,
            frame=frame,
            offset=0,
            data=data,
            content=content,
            datagram=datagram,
        )


def _cut_short(segment: Segment) -> FramingError:
    kept = len(segment.data)
    whole = kept + segment.missing
    return FramingError(
        ErrorCode.GAP,
        kept,
        f"the capture has {kept} of the datagram's {whole} bytes",
        expected=whole,
        found=kept,
    )
