"""What is found in a capture: sessions, what was said in them, and what went wrong there."""

from enum import StrEnum

import msgspec

from teltonika.codecs.findings import Finding, found_packet
from teltonika.codecs.records import AvlPacket
from teltonika.codecs.transport import Side
from teltonika.codecs.udp import Datagram


class Session(msgspec.Struct, kw_only=True):
    """One TCP connection of a device, or all datagrams between it and a server."""

    number: int
    """From 0, in the order in which the file lets them be known for a device's."""
    transport: str
    device_address: str
    server_address: str
    from_start: bool
    """Whether the capture shows its beginning."""
    imei: str | None = None
    """As far as it is known; in UDP that of the last datagram."""


class CapturedFinding(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that an end said."""

    session: Session
    sender: Side
    imei: str | None
    time: float
    """Seconds since 1970-01-01 UTC at which its last byte was there."""
    frame: int
    """The number in the file of the frame that brought it."""
    offset: int
    """From the start of what its sender sent in the session; in UDP from the datagram's."""
    data: bytes
    """As on the wire; of an error what there is of it, which can be nothing."""
    content: AvlPacket | Finding
    datagram: Datagram | None = None
    """The envelope of an AVL packet in UDP."""

    def finding(self) -> Finding:
        """As `find_packets` would have it. Of an AVL packet this is made when it is asked for: it
        costs more than decoding it."""
        if isinstance(self.content, AvlPacket):
            return found_packet(self.content, self.offset, len(self.data), self.datagram)
        return self.content


class NoteKind(StrEnum):
    """What can be wrong with a session all of whose parts decode."""

    NO_ACK = "no ACK"
    WRONG_COUNT = "wrong count"
    UNEXPECTED_ACK = "unexpected ACK"
    RESENT = "resent"
    NACK = "nACK"
    REJECTED = "rejected"
    NO_ANSWER = "no answer"


class Note(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Something that went wrong, and when that showed."""

    session: Session
    imei: str | None
    time: float
    kind: NoteKind
    text: str


class SessionBegan(msgspec.Struct, frozen=True, gc=False):
    """A conversation is known for a device's."""

    session: Session
    time: float
    """Of its first frame."""


class SessionEnded(msgspec.Struct, frozen=True, gc=False):
    """Nothing more of a session will come."""

    session: Session
    time: float
    how: str
    """As a sentence goes on: ``closed by the device``."""


CaptureEvent = SessionBegan | CapturedFinding | Note | SessionEnded
