"""A conversation's segments to what was said in it, once it shows itself to be a device's."""

from collections.abc import Callable

from teltonika.codecs.captures.found import CapturedFinding, Session
from teltonika.codecs.captures.packets import FIN, RST, SYN, Flow, Segment, flow_ends, opposite
from teltonika.codecs.captures.readers import DeviceReader, ServerReader
from teltonika.codecs.captures.review import SessionReview
from teltonika.codecs.captures.search import PacketSearch
from teltonika.codecs.captures.sessions import end_names
from teltonika.codecs.captures.streams import Connection, Payload, Stream
from teltonika.codecs.commands import MessageType
from teltonika.codecs.framing import HEADER_SIZE
from teltonika.codecs.handshake import IMEI_DIGITS, IMEI_FRAME_SIZE
from teltonika.codecs.registry import COMMAND_CODECS
from teltonika.codecs.transport import Side

_MAX_UNDECIDED = 2**16
"""Bytes of a connection after which it is no device's, if nothing in them is."""
_MAX_UNDECIDED_PAYLOADS = 64
_HOPELESS = 2**14
"""The same of one direction, if nothing in it looks like a packet."""
_MAX_BEHIND = 16
"""What a device says while four zero bytes of the server's may be an ACK, or begin a command."""
_NOT_DATA_ALONE = SYN | FIN | RST
_COMMAND_IDS = frozenset(codec.codec_id for codec in COMMAND_CODECS)
_TYPE_AT = HEADER_SIZE + 2
_IMEI_LENGTH = IMEI_DIGITS.to_bytes(2)

NewSession = Callable[[str, Flow, bool], Session]
"""Of a transport, the device's direction, and whether its beginning was captured."""


class _Suspect:
    """Whether a direction is a device's: by its handshake, or where its beginning was not captured
    by a packet with a right CRC."""

    __slots__ = ("_head", "_search", "_seen", "innocent", "shook_hands")

    def __init__(self) -> None:
        self._head = b""
        self._search: PacketSearch | None = None
        self._seen = 0
        self.innocent = False
        """It is no device's."""
        self.shook_hands = False

    def receive(self, payload: Payload, stream: Stream, max_packet_size: int) -> Side | None:
        """Whose direction it is, once that is known."""
        if self.innocent:
            return None
        self._seen += len(payload.data)
        data = self._head + payload.data
        if self._search is None and not payload.gap:
            self._head = data[:IMEI_FRAME_SIZE]
            if _may_be_handshake(self._head):
                self.shook_hands = len(self._head) == IMEI_FRAME_SIZE
                return Side.DEVICE if self.shook_hands else None
            if stream.began:
                self.innocent = True
                return None
        if self._search is None:
            self._search = PacketSearch(0, max_packet_size)
            self._head = b""
        if payload.gap:
            self._search.skip(payload.gap)
        found = self._search.receive_data(data)
        if found is not None:
            return Side.SERVER if _is_command(found.packet) else Side.DEVICE
        self.innocent = self._seen > _HOPELESS and not self._search.hopeful
        return None


class TcpConversation:
    """A connection. Until it is known whether it is a device's, what was said is kept."""

    __slots__ = (
        "_behind",
        "_device",
        "_device_flow",
        "_kept",
        "_kept_bytes",
        "_max_packet_size",
        "_new_session",
        "_server",
        "_sides",
        "_suspects",
        "accounted",
        "closing",
        "connection",
        "dismissed",
        "idle",
        "key",
        "last_frame",
        "previous",
        "review",
        "session",
        "time",
    )

    def __init__(
        self,
        segment: Segment,
        time: float,
        frame: int,
        server_port: int | None,
        max_packet_size: int,
        new_session: NewSession,
    ) -> None:
        self.key = True, segment.flow
        """By which it is found: its transport and its first direction."""
        self.connection = Connection(segment, time, frame)
        self.session: Session | None = None
        self.dismissed = False
        """It is no device's."""
        self.last_frame = frame
        self.time = time
        self.closing = False
        """Whether an end of it was captured."""
        self.idle = False
        """Whether it is a device's, and nothing waits: no segment, no bytes, no answer."""
        self.previous: Connection | None = None
        """What its two ends had before: late segments may still come."""
        self.review: SessionReview | None = None
        self.accounted = 0
        self._max_packet_size = max_packet_size
        self._new_session = new_session
        self._device: DeviceReader | None = None
        self._server: ServerReader | None = None
        self._device_flow: Flow | None = None
        self._sides: dict[Flow, tuple[Stream, DeviceReader | ServerReader]] = {}
        self._kept: list[tuple[Flow, Payload]] = []
        self._kept_bytes = 0
        self._suspects: dict[Flow, _Suspect] | None = None
        self._behind: list[CapturedFinding] = []  # what waits for the server's to be decided
        if server_port is not None:
            self._device_flow = flow_to(segment.flow, server_port)
            self.dismissed = self._device_flow is None
        else:
            self._suspects = {flow: _Suspect() for flow in self.connection.streams}

    @property
    def started(self) -> float:
        return self.connection.started

    @property
    def held(self) -> int:
        """Bytes that wait for others."""
        device, server = self._device, self._server
        if device is None or server is None:
            return self._kept_bytes + self.connection.held
        return device.held + server.held + self.connection.held

    def read_whole(self, segment: Segment, time: float, frame: int) -> CapturedFinding | None:
        """While `idle`, what a segment says that brings one thing in its turn, as nearly all do;
        None of any other, which is to be added."""
        if segment.missing or segment.flags & _NOT_DATA_ALONE:
            return None
        stream, reader = self._sides[segment.flow]
        if segment.seq != stream.expected or time < stream.time:
            return None
        data = segment.data
        found = reader.read_whole(data, time, frame)
        if found is not None:
            stream.go_on(len(data), time, frame)
            self.last_frame, self.time = frame, time
        return found

    def add(self, segment: Segment, time: float, frame: int) -> list[CapturedFinding]:
        """What is whole now, of either side."""
        self.last_frame = frame
        self.time = time
        if segment.flags & (FIN | RST):
            self.closing = True
        found: list[CapturedFinding] = []
        for flow, payload in self.connection.add(segment, time, frame):
            self._receive(flow, payload, found)
        self.idle = self.session is not None and not self.closing and self._waits_for_nothing()
        return found

    def finish(self) -> list[CapturedFinding]:
        """Nothing more comes."""
        found: list[CapturedFinding] = []
        for flow, payload in self.connection.finish():
            self._receive(flow, payload, found)
        if self._device is not None and self._server is not None:
            found += self._settle()
            rest = self._device.receive_eof() + self._server.receive_eof()
            found += sorted(rest, key=lambda each: each.frame)
        self._kept.clear()
        self._kept_bytes = 0
        return found

    @property
    def closed_by(self) -> Side | None:
        """Who closed first; None where the capture shows no end."""
        ends = [
            (stream.closed.frame, flow)
            for flow, stream in self.connection.streams.items()
            if stream.closed is not None
        ]
        if not ends:
            return None
        return Side.DEVICE if min(ends)[1] == self._device_flow else Side.SERVER

    def _waits_for_nothing(self) -> bool:
        return not self.connection.waits and all(reader.idle for _, reader in self._sides.values())

    def _receive(self, flow: Flow, payload: Payload, found: list[CapturedFinding]) -> None:
        if self.dismissed:
            return
        if self._device is None:
            self._decide(flow, payload, found)
        elif flow == self._device_flow:
            self._append(self._device.receive_data(payload), found)
        else:
            self._append_answers(payload, found)

    def _append(self, said: list[CapturedFinding], found: list[CapturedFinding]) -> None:
        assert self._server is not None
        if not (said and self._server.undecided):
            found += said
            return
        self._behind += said
        if len(self._behind) > _MAX_BEHIND:
            found += self._settle()

    def _append_answers(self, payload: Payload, found: list[CapturedFinding]) -> None:
        assert self._server is not None
        said = self._server.receive_data(payload)
        if not self._behind:
            found += said
        elif said or not self._server.undecided:
            found += sorted(self._behind + said, key=lambda each: each.frame)
            self._behind.clear()

    def _settle(self) -> list[CapturedFinding]:
        assert self._server is not None
        settled = sorted(self._server.settle() + self._behind, key=lambda each: each.frame)
        self._behind.clear()
        return settled

    def _decide(self, flow: Flow, payload: Payload, found: list[CapturedFinding]) -> None:
        self._kept.append((flow, payload))
        self._kept_bytes += len(payload.data)
        shook_hands = False
        if self._suspects is not None:
            suspect = self._suspects[flow]
            stream = self.connection.streams[flow]
            opener = self.connection.opener
            side = suspect.receive(payload, stream, self._max_packet_size)
            if side is None:
                self.dismissed = (
                    self._kept_bytes > _MAX_UNDECIDED
                    or len(self._kept) > _MAX_UNDECIDED_PAYLOADS
                    or all(each.innocent for each in self._suspects.values())
                    or (opener is not None and self._suspects[opener].innocent)
                )
                return
            shook_hands = suspect.shook_hands
            self._device_flow = flow if side is Side.DEVICE else opposite(flow)
        assert self._device_flow is not None
        self._begin(self._device_flow, shook_hands, found)

    def _begin(self, device: Flow, shook_hands: bool, found: list[CapturedFinding]) -> None:
        streams = self.connection.streams
        from_start = shook_hands or streams[device].began
        session = self._new_session("tcp", device, from_start)
        self.session = session
        self._device = DeviceReader(session, self._max_packet_size, from_start=from_start)
        self._server = ServerReader(
            session,
            self._max_packet_size,
            from_start=shook_hands or streams[opposite(device)].began,
        )
        self._sides = {
            device: (streams[device], self._device),
            opposite(device): (streams[opposite(device)], self._server),
        }
        kept, self._kept, self._suspects, self._kept_bytes = self._kept, [], None, 0
        for flow, payload in kept:
            self._receive(flow, payload, found)


def flow_to(flow: Flow, server_port: int) -> Flow | None:
    """The direction to that port, ``flow`` or its opposite; None if neither is."""
    source, destination = flow_ends(flow)
    if destination[1] == server_port:
        return flow
    return opposite(flow) if source[1] == server_port else None


def make_session(number: int, transport: str, device: Flow, from_start: bool) -> Session:
    device_address, server_address = end_names(device)
    return Session(
        number=number,
        transport=transport,
        device_address=device_address,
        server_address=server_address,
        from_start=from_start,
    )


def _is_command(packet: bytes) -> bool:
    return packet[HEADER_SIZE] in _COMMAND_IDS and packet[_TYPE_AT] == MessageType.COMMAND


def _may_be_handshake(head: bytes) -> bool:
    return _IMEI_LENGTH.startswith(head[:2]) and (len(head) < 3 or head[2:].isdigit())
