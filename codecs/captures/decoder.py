"""A capture file's bytes, as they come, to what the devices and servers in it said.

Memory has a bound whatever the file holds: conversations that are no device's leave a mark, the
oldest of which are forgotten; conversations that are over, and, where there are too many or too
much waits in them, those of which nothing came for longest, end.
"""

from collections import Counter, OrderedDict

from teltonika.codecs.captures.capture import unknown_link_types
from teltonika.codecs.captures.conversations import TcpConversation, make_session
from teltonika.codecs.captures.exchanges import UdpConversation
from teltonika.codecs.captures.files import CapturedFrame, FrameReader
from teltonika.codecs.captures.found import (
    CapturedFinding,
    CaptureEvent,
    Session,
    SessionBegan,
    SessionEnded,
)
from teltonika.codecs.captures.packets import (
    ACK,
    SYN,
    Flow,
    Segment,
    Skipped,
    opposite,
    read_segment,
)
from teltonika.codecs.captures.review import SentPackets, SessionReview
from teltonika.codecs.framing import MAX_PACKET_SIZE
from teltonika.codecs.udp import begins_datagram

MAX_CONVERSATIONS = 2**15
"""Open at the same time."""
MAX_HELD = 2**26
"""Bytes in all that wait for others."""
_MAX_MARKS = 2**17
_MAX_LINK_TYPES = 16

_Conversation = TcpConversation | UdpConversation
_Key = tuple[bool, Flow]
_Arrived = tuple[Segment, float, int]
"""With the time and the number of its frame."""


class CaptureDecoder:
    """Bytes of a pcap or pcapng file in, events out, in the order in which they could be told.

    With ``server_port`` a session is what goes to and from that port, whatever it is; without, what
    shows itself to be a device's: by an IMEI, or, where its beginning was not captured, by a packet
    with a right CRC.
    """

    def __init__(
        self,
        server_port: int | None = None,
        *,
        max_packet_size: int = MAX_PACKET_SIZE,
        max_conversations: int = MAX_CONVERSATIONS,
        max_held: int = MAX_HELD,
    ) -> None:
        self._server_port = server_port
        self._max_packet_size = max_packet_size
        self._max_conversations = max_conversations
        self._max_held = max_held
        self._reader = FrameReader()
        self._open: dict[_Key, _Conversation] = {}
        self._by_flow: dict[_Key, _Conversation] = {}  # of either direction
        self._marks: dict[_Key, None] = {}  # of conversations that are no device's, or are over
        # SYNs that no data followed yet. A dict would be slow to tell the oldest of many.
        self._openings: OrderedDict[Flow, list[_Arrived]] = OrderedDict()
        self._sent = SentPackets()
        self._held = 0
        self._link_types: set[int] = set()
        self._events: list[CaptureEvent] = []
        self.frames = 0
        self.sessions = 0
        self.others = 0
        """Conversations that are no device's."""
        self.skipped: Counter[Skipped] = Counter()
        """Frames that brought nothing, by the reason."""

    @property
    def broken_at(self) -> int | None:
        """The byte where the file ends inside a frame, or stops making sense."""
        return self._reader.broken_at

    def receive_data(self, data: bytes) -> list[CaptureEvent]:
        """What can be told now. Raises CaptureError if the file is no capture."""
        for frame in self._reader.receive_data(data):
            segment = read_segment(frame)
            if isinstance(segment, Segment):
                self._segment(segment, frame.time, self.frames)
            else:
                self._skip(frame, segment)
            self.frames += 1
        return self._taken()

    def receive_eof(self) -> list[CaptureEvent]:
        """The file ends. Raises CaptureError if it is no capture, or all of it is of link types
        that are unknown here."""
        self._reader.receive_eof()
        if self.frames and self.skipped[Skipped.LINK_TYPE] == self.frames:
            raise unknown_link_types(self._link_types)
        self._finish(list(self._open.values()), "the capture ends")
        return self._taken()

    def _taken(self) -> list[CaptureEvent]:
        events, self._events = self._events, []
        return events

    def _skip(self, frame: CapturedFrame, reason: Skipped) -> None:
        self.skipped[reason] += 1
        if reason is Skipped.LINK_TYPE and len(self._link_types) < _MAX_LINK_TYPES:
            self._link_types.add(frame.link_type)

    def _segment(self, segment: Segment, time: float, number: int) -> None:
        conversation = self._by_flow.get((segment.tcp, segment.flow))
        if conversation is None:
            conversation = self._first(segment, time, number)
            if conversation is None:
                return
        elif isinstance(conversation, TcpConversation):
            idle = conversation.idle
            if segment.data:
                whole = conversation.read_whole(segment, time, number) if idle else None
                if whole is not None:
                    self._tell(conversation, whole)
                    return
            elif (
                segment.flags == ACK
                and not segment.missing
                and (idle or not conversation.connection.waits)
            ):
                conversation.last_frame, conversation.time = number, time
                return  # a third of all frames: TCP's own acknowledgements
            if not conversation.connection.takes(segment):
                if conversation.previous is not None and conversation.previous.takes(segment):
                    return
                self._finish([conversation], "another connection takes its place")
                previous = conversation.connection
                conversation = self._begin(segment, time, number)
                if isinstance(conversation, TcpConversation):
                    conversation.previous = previous
        self._add(conversation, segment, time, number)

    def _first(self, segment: Segment, time: float, number: int) -> _Conversation | None:
        """The conversation that a segment of no open one begins; None if it begins none."""
        key = segment.tcp, segment.flow
        if not segment.tcp:
            datagram = self._server_port is None and begins_datagram(segment.data, 0)
            return (
                None if key in self._marks and not datagram else self._begin(segment, time, number)
            )
        flow, back = segment.flow, opposite(segment.flow)
        if segment.flags & SYN and not segment.data:
            self._marks.pop(key, None)
            self._marks.pop((True, back), None)
            if segment.flags & ACK:
                opening = self._openings.pop(back, [])
                self._openings[back] = [*opening[:1], (segment, time, number)]
            else:
                self._openings[flow] = [(segment, time, number)]
            if len(self._openings) > _MAX_MARKS:
                self._openings.popitem(last=False)
            return None
        if key in self._marks or not (segment.data or segment.missing):
            return None
        opening = self._openings.pop(flow, []) or self._openings.pop(back, [])
        first = opening[0] if opening else (segment, time, number)
        conversation = self._begin(*first)
        for opened, opened_time, opened_number in opening:
            if conversation.key in self._open:
                self._add(conversation, opened, opened_time, opened_number)
        return conversation if conversation.key in self._open else None

    def _begin(self, segment: Segment, time: float, number: int) -> _Conversation:
        key = segment.tcp, segment.flow
        back = segment.tcp, opposite(segment.flow)
        self._marks.pop(key, None)
        self._marks.pop(back, None)
        if len(self._open) >= self._max_conversations:
            self._evict(max(1, self._max_conversations // 8))
        conversation: _Conversation = (
            TcpConversation(
                segment,
                time,
                number,
                self._server_port,
                self._max_packet_size,
                self._new_session,
            )
            if segment.tcp
            else UdpConversation(segment, time, number, self._server_port, self._new_session)
        )
        self._open[key] = self._by_flow[key] = self._by_flow[back] = conversation
        return conversation

    def _new_session(self, transport: str, device: Flow, from_start: bool) -> Session:
        session = make_session(self.sessions, transport, device, from_start)
        self.sessions += 1
        return session

    def _add(self, conversation: _Conversation, segment: Segment, time: float, number: int) -> None:
        for each in conversation.add(segment, time, number):
            self._tell(conversation, each)
        if conversation.dismissed:
            self.others += 1
            self._forget(conversation, mark=True)
            return
        if segment.data:
            held = conversation.held
            if held != conversation.accounted:
                self._held += held - conversation.accounted
                conversation.accounted = held
        if (
            isinstance(conversation, TcpConversation)
            and conversation.closing
            and conversation.connection.is_over
        ):
            self._finish([conversation], "", mark=True)
        elif self._held > self._max_held:
            self._evict(max(1, len(self._open) // 8))

    def _tell(self, conversation: _Conversation, found: CapturedFinding) -> None:
        review = conversation.review
        if review is None:
            review = conversation.review = SessionReview(found.session, self._sent)
            self._events.append(SessionBegan(found.session, conversation.started))
        self._events.append(found)
        review.receive(found, self._events)

    def _finish(self, conversations: list[_Conversation], how: str, *, mark: bool = False) -> None:
        """Nothing more comes of them: what waits in them is told in the order of its frames."""
        rest = [
            (each, conversation) for conversation in conversations for each in conversation.finish()
        ]
        rest.sort(key=lambda pair: pair[0].frame)
        for each, conversation in rest:
            self._tell(conversation, each)
        for conversation in conversations:
            session, review = conversation.session, conversation.review
            if session is not None and review is not None:
                ending = _ending(conversation, how)
                self._events += review.finish(conversation.time, ending)
                self._events.append(SessionEnded(session, conversation.time, ending))
            else:
                self.others += 1
            self._forget(conversation, mark=mark)

    def _evict(self, count: int) -> None:
        oldest = sorted(self._open.values(), key=lambda each: each.last_frame)[:count]
        self._finish(oldest, "nothing came of it for long")

    def _forget(self, conversation: _Conversation, *, mark: bool) -> None:
        key = conversation.key
        back = key[0], opposite(key[1])
        del self._open[key], self._by_flow[key], self._by_flow[back]
        self._held -= conversation.accounted
        if mark:
            self._marks[key] = self._marks[back] = None
            if len(self._marks) > _MAX_MARKS:
                for old in list(self._marks)[: _MAX_MARKS // 2]:
                    del self._marks[old]


def _ending(conversation: _Conversation, otherwise: str) -> str:
    """How a session ended."""
    if isinstance(conversation, TcpConversation) and conversation.closed_by is not None:
        return f"closed by the {conversation.closed_by}"
    return otherwise
