"""What went wrong in a session all of whose parts decode: ACKs that are missing or wrong, packets
that were sent again, refusals."""

from collections import deque
from itertools import islice

import msgspec

from teltonika.codecs.captures.found import (
    CapturedFinding,
    CaptureEvent,
    Note,
    NoteKind,
    Session,
)
from teltonika.codecs.errors import ErrorCode
from teltonika.codecs.findings import (
    FoundAck,
    FoundError,
    FoundHandshakeAnswer,
    FoundImei,
    FoundNack,
)
from teltonika.codecs.records import AvlPacket
from teltonika.codecs.timestamps import format_timestamp
from teltonika.codecs.transport import Side
from teltonika.codecs.udp import decode_answer

_REMEMBERED = 2**16
_FORGOTTEN_AT_ONCE = 2**13
_MAX_PENDING = 256
_EARLY = 8
"""Frames by which a capture may show an ACK before its packet."""

UdpIds = tuple[int, int]


class _Sent(msgspec.Struct, frozen=True, gc=False):
    """A packet, which an ACK is to come for."""

    session: int
    digest: int
    offset: int
    time: float
    records: int
    ids: UdpIds | None

    @property
    def where(self) -> str:
        place = f"at byte {self.offset}" if self.ids is None else f"{self.ids[0]}/{self.ids[1]}"
        return f"{place}, {moment(self.time)}"


class SentPackets:
    """The last packets as each was sent first, by a digest."""

    def __init__(self) -> None:
        self._first: dict[int, _Sent] = {}

    def add(self, sent: _Sent) -> _Sent | None:
        """The same packet before, if there was one."""
        digest = sent.digest
        first = self._first.pop(digest, None)
        self._first[digest] = first or sent
        if len(self._first) > _REMEMBERED + _FORGOTTEN_AT_ONCE:
            # A dict looks for its oldest entry among all those that were deleted before it.
            for old in list(islice(self._first, _FORGOTTEN_AT_ONCE)):
                del self._first[old]
        return first


class SessionReview:
    """Everything that is said in a session, in order, to notes about it."""

    __slots__ = ("_awaits_answer", "_early", "_pending", "_sent", "_session", "_unsure")

    def __init__(self, session: Session, sent: SentPackets) -> None:
        self._session = session
        self._sent = sent
        self._pending: deque[_Sent] = deque()
        self._early: deque[CapturedFinding] = deque()
        self._awaits_answer = False
        self._unsure = not session.from_start  # whether packets or ACKs may be unseen

    def receive(self, found: CapturedFinding, notes: list[CaptureEvent]) -> None:
        """Append what it shows to be wrong."""
        content = found.content
        if isinstance(content, FoundAck):
            self._ack(found, content.accepted, notes)
        elif isinstance(content, AvlPacket):
            self._packet(found, content, notes)
        elif isinstance(content, FoundImei):
            self._awaits_answer = True
        elif isinstance(content, FoundHandshakeAnswer):
            self._awaits_answer = False
            if not content.imei_accepted:
                notes.append(
                    self._note(found, NoteKind.REJECTED, "the server turns the device away")
                )
        elif isinstance(content, FoundNack):
            notes.append(self._note(found, NoteKind.NACK, "the command was for another device"))
        elif isinstance(content, FoundError) and (
            content.error == ErrorCode.GAP or found.sender is Side.SERVER
        ):
            # Which ACK belongs to which packet cannot be told any more.
            self._unsure = True
            self._pending.clear()
            self._early.clear()
            self._awaits_answer = False

    def finish(self, time: float, how: str) -> list[Note]:
        """Nothing more comes: what was not answered."""
        notes: list[Note] = []
        imei = self._session.imei

        def note(kind: NoteKind, text: str) -> None:
            notes.append(Note(session=self._session, imei=imei, time=time, kind=kind, text=text))

        if self._awaits_answer:
            note(NoteKind.NO_ANSWER, f"to the IMEI; {how}")
        for sent in self._pending:
            note(NoteKind.NO_ACK, f"the packet {sent.where}; {how}")
        notes += map(self._unexpected, self._early)
        self._pending.clear()
        self._early.clear()
        return notes

    def _packet(self, found: CapturedFinding, packet: AvlPacket, notes: list[CaptureEvent]) -> None:
        datagram = found.datagram
        if datagram is None:
            ids, data = None, found.data
        else:
            ids, data = (datagram.packet_id, datagram.avl_packet_id), datagram.data
        digest = hash((found.imei, data))
        records = len(packet.records)
        sent = _Sent(self._session.number, digest, found.offset, found.time, records, ids)
        before = self._sent.add(sent) if records and found.imei is not None else None
        if before is not None:
            unanswered = next((each for each in self._pending if each.digest == digest), None)
            if unanswered is not None:
                self._pending.remove(unanswered)
                text = f"the packet {unanswered.where}; the device sends it again"
                notes.append(self._note(found, NoteKind.NO_ACK, text))
            text = f"the same packet came at {moment(before.time)}, session {before.session}"
            notes.append(self._note(found, NoteKind.RESENT, text))
        while self._early and found.frame - self._early[0].frame > _EARLY:
            notes.append(self._unexpected(self._early.popleft()))
        if self._early and ids is None:
            self._compare(found, sent, self._early.popleft().data[-1], notes)
            return
        self._pending.append(sent)
        if len(self._pending) > _MAX_PENDING:
            text = f"the packet {self._pending.popleft().where}; many came after it"
            notes.append(self._note(found, NoteKind.NO_ACK, text))

    def _ack(self, found: CapturedFinding, accepted: int, notes: list[CaptureEvent]) -> None:
        if self._session.transport == "udp":
            answer = decode_answer(found.data)
            ids = None if answer is None else (answer.packet_id, answer.avl_packet_id)
            sent = next((each for each in self._pending if each.ids == ids), None)
            if sent is None:
                notes.append(self._unexpected(found))
                return
            self._pending.remove(sent)
        elif self._pending:
            sent = self._pending.popleft()
        else:
            if not self._unsure:
                self._early.append(found)
            if len(self._early) > _EARLY:
                notes.append(self._unexpected(self._early.popleft()))
            return
        self._compare(found, sent, accepted, notes)

    def _compare(
        self, found: CapturedFinding, sent: _Sent, accepted: int, notes: list[CaptureEvent]
    ) -> None:
        if accepted != sent.records:
            text = f"ACK of {accepted} for the packet {sent.where}, which has {sent.records}"
            notes.append(self._note(found, NoteKind.WRONG_COUNT, text))

    def _unexpected(self, ack: CapturedFinding) -> Note:
        text = f"no packet waited for the ACK at byte {ack.offset}, {moment(ack.time)}"
        if ack.datagram is None and self._session.transport == "udp":
            text = "no datagram with these ids waited for an answer"
        return self._note(ack, NoteKind.UNEXPECTED_ACK, text)

    def _note(self, found: CapturedFinding, kind: NoteKind, text: str) -> Note:
        return Note(session=self._session, imei=found.imei, time=found.time, kind=kind, text=text)


def moment(time: float) -> str:
    """A capture's time as text, ISO 8601 UTC with milliseconds."""
    return format_timestamp(round(time * 1000) if time > 0 else 0)
