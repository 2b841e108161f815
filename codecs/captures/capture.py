"""A capture file's bytes to the sessions of the devices in it."""

from collections import Counter
from collections.abc import Collection

import msgspec

from teltonika.codecs.captures.files import read_frames
from teltonika.codecs.captures.packets import Endpoint, Segment, Skipped, flow_ends, read_segment
from teltonika.codecs.captures.sessions import CapturedSession, Exchange, Recording, find_session
from teltonika.codecs.errors import CaptureError


class Capture(msgspec.Struct, frozen=True):
    """What stands in a capture file."""

    sessions: list[CapturedSession]
    """In the order of their first frames."""
    frames: int
    """All there are in the file."""
    skipped: dict[str, int]
    """Why frames brought nothing, and how many."""
    others: int
    """Conversations that are no device's."""
    broken_at: int | None
    """The byte where the file ends inside a frame, or stops making sense; None if it does not."""


def read_capture(data: bytes, server_port: int | None = None) -> Capture:
    """The sessions in a pcap or pcapng file's bytes.

    With ``server_port`` a session is what goes to and from that port; without, what a device's
    IMEI or packets are found in. What is kept is in proportion to what ``data`` takes.

    Raises CaptureError if ``data`` is no capture, or all of it is of a link type that is unknown
    here. What is wrong with single frames is counted.
    """
    captured = read_frames(data)
    skipped: Counter[str] = Counter()
    conversations = _Conversations()
    for number, frame in enumerate(captured.frames):
        segment = read_segment(frame)
        if isinstance(segment, Skipped):
            skipped[segment.value] += 1
        else:
            conversations.add(segment, frame.time, number)
    conversations.finish()
    link_types = {frame.link_type for frame in captured.frames}
    if link_types and skipped[Skipped.LINK_TYPE.value] == len(captured.frames):
        raise unknown_link_types(link_types)
    found_sessions = [find_session(each, server_port) for each in conversations.all]
    sessions = [session for session in found_sessions if session is not None]
    sessions.sort(key=lambda session: session.frame)
    return Capture(
        sessions,
        len(captured.frames),
        dict(skipped),
        len(found_sessions) - len(sessions),
        captured.broken_at,
    )


def unknown_link_types(found: Collection[int]) -> CaptureError:
    """The error for a capture whose link types are all unknown here."""
    names = ", ".join(sorted(map(str, found)))
    return CaptureError(
        f"the capture's link type is {names}: expected Ethernet, Linux cooked, raw IP, PPP "
        "or loopback"
    )


class _Conversations:
    """Segments to the connections and exchanges that they are of."""

    def __init__(self) -> None:
        self.all: list[Recording | Exchange] = []
        self._connections: dict[frozenset[Endpoint], list[Recording]] = {}
        self._exchanges: dict[frozenset[Endpoint], Exchange] = {}

    def add(self, segment: Segment, time: float, frame: int) -> None:
        ends = frozenset(flow_ends(segment.flow))
        if not segment.tcp:
            exchange = self._exchanges.get(ends)
            if exchange is None:
                exchange = self._exchanges[ends] = Exchange(segment, time, frame)
                self.all.append(exchange)
            exchange.add(segment, time, frame)
            return
        recordings = self._connections.setdefault(ends, [])
        # What comes late may still be of the connection before the last: ports are used again.
        for recording in recordings[:-3:-1]:
            if recording.connection.takes(segment):
                break
        else:
            recording = Recording(segment, time, frame)
            recordings.append(recording)
            self.all.append(recording)
        recording.add(segment, time, frame)

    def finish(self) -> None:
        for conversation in self.all:
            if isinstance(conversation, Recording):
                conversation.finish()
