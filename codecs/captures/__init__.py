"""Captured traffic: the bytes of a pcap or pcapng file to the sessions in it.

Sans-IO like all of `teltonika.codecs`: a whole file's bytes in, sessions out. The headers are
read here and not with dpkt, whose pcapng reader believes in one interface a file and whose
dissectors raise more than their own errors for what a hostile file can hold.
"""

from teltonika.codecs.captures.capture import Capture, read_capture
from teltonika.codecs.captures.files import CapturedFrame, CapturedFrames, read_frames
from teltonika.codecs.captures.sessions import CapturedSession, Side
from teltonika.codecs.captures.streams import Closing, Payload
from teltonika.codecs.errors import CaptureError

__all__ = [
    "Capture",
    "CaptureError",
    "CapturedFrame",
    "CapturedFrames",
    "CapturedSession",
    "Closing",
    "Payload",
    "Side",
    "read_capture",
    "read_frames",
]
