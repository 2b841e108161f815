"""A capture file's bytes to the sessions of the devices in it."""

from collections import Counter

import msgspec

from teltonika.codecs.captures.files import read_frames
from teltonika.codecs.captures.packets import Endpoint, Segment, Skipped, read_segment
from teltonika.codecs.captures.sessions import CapturedSession, Exchange, find_session
from teltonika.codecs.captures.streams import Connection
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
    if captured.frames and skipped[Skipped.LINK_TYPE.value] == len(captured.frames):
        found = ", ".join(sorted({str(frame.link_type) for frame in captured.frames}))
        raise CaptureError(
            f"the capture's link type is {found}: expected Ethernet, Linux cooked, raw IP, PPP "
            "or loopback"
        )
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


class _Conversations:
    """Segments to the connections and exchanges that they are of."""

    def __init__(self) -> None:
        self.all: list[Connection | Exchange] = []
        self._connections: dict[frozenset[Endpoint], list[Connection]] = {}
        self._exchanges: dict[frozenset[Endpoint], Exchange] = {}

    def add(self, segment: Segment, time: float, frame: int) -> None:
        ends = frozenset((segment.source, segment.destination))
        if not segment.tcp:
            exchange = self._exchanges.get(ends)
            if exchange is None:
                exchange = self._exchanges[ends] = Exchange(segment, time, frame)
                self.all.append(exchange)
            exchange.add(segment, time, frame)
            return
        connections = self._connections.setdefault(ends, [])
        # What comes late may still be of the connection before the last: ports are used again.
        for connection in connections[:-3:-1]:
            if connection.takes(segment):
                break
        else:
            connection = Connection(segment, time, frame)
            connections.append(connection)
            self.all.append(connection)
        connection.add(segment, time, frame)
