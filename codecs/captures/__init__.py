"""Captured traffic: the bytes of a pcap or pcapng file to the sessions in it.

Sans-IO like all of `teltonika.codecs`: `CaptureDecoder` takes a file's bytes as they come and says
what was said in it; `read_capture` takes a whole file and keeps each session's bytes. The headers
are read here and not with dpkt, whose pcapng reader believes in one interface a file and whose
dissectors raise more than their own errors for what a hostile file can hold.
"""

from teltonika.codecs.captures.capture import Capture, read_capture
from teltonika.codecs.captures.decoder import CaptureDecoder
from teltonika.codecs.captures.files import CapturedFrame, CapturedFrames, read_frames
from teltonika.codecs.captures.found import (
    CapturedFinding,
    CaptureEvent,
    Note,
    NoteKind,
    Session,
    SessionBegan,
    SessionEnded,
)
from teltonika.codecs.captures.review import moment
from teltonika.codecs.captures.sessions import CapturedSession
from teltonika.codecs.captures.streams import Closing, Payload
from teltonika.codecs.errors import CaptureError
from teltonika.codecs.transport import Side

__all__ = [
    "Capture",
    "CaptureDecoder",
    "CaptureError",
    "CaptureEvent",
    "CapturedFinding",
    "CapturedFrame",
    "CapturedFrames",
    "CapturedSession",
    "Closing",
    "Note",
    "NoteKind",
    "Payload",
    "Session",
    "SessionBegan",
    "SessionEnded",
    "Side",
    "moment",
    "read_capture",
    "read_frames",
]
