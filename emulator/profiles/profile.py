"""A profile, checked."""

import msgspec

from teltonika.codecs import MAX_PACKET_SIZE, AvlCodec
from teltonika.emulator.profiles.pace import Paces

_PACKET_SIZE = 15
"""Bytes of a packet besides its records."""
_RECORD_SIZE = 38 + 4 * 3
"""Bytes of a record in codec 8 Extended without elements; and those that events bring: four at
most, of one byte each."""


class Element(msgspec.Struct, frozen=True):
    """An IO element of every record."""

    io_id: int
    width: int | None
    """Bytes: 1, 2, 4 or 8; None for as many as its ``content`` has."""
    driven: int | None
    """The id under which the drive knows its value; None where the profile says it."""
    low: int = 0
    high: int = 0
    """Between these, both included, the value wanders; unsigned, as it is on the wire."""
    content: bytes = b""
    """The value of one of variable width."""

    @property
    def size(self) -> int:
        """Bytes on the wire, in codec 8 Extended."""
        return 2 + (2 + len(self.content) if self.width is None else self.width)


class Profile(msgspec.Struct, frozen=True, kw_only=True):
    """One model of tracker, or one that somebody made up."""

    name: str
    model: str
    """As the IO dictionary calls it: FMB920."""
    codecs: tuple[AvlCodec, ...]
    """Those it speaks; the first is what it is set to."""
    elements: tuple[Element, ...]
    """In the order of the wire: by width."""
    event_ids: dict[int, int]
    """What the drive makes events of, and their elements: its ids to those of the model. What is
    not here the model does not know, or knows as something else."""
    getver: str
    """The answer to that command; names in braces are replaced."""
    ack_timeout_s: float
    connect_timeout_s: float
    reconnect_s: float
    """Before the first attempt to connect again."""
    records_per_packet: int
    paces: Paces | None = None
    """None where it leaves the periods to whoever runs it."""

    @property
    def records_that_fit(self) -> int:
        """Into one packet, whatever events they are of."""
        size = _RECORD_SIZE + sum(element.size for element in self.elements)
        return (MAX_PACKET_SIZE - _PACKET_SIZE) // size
