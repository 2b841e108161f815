"""What is told of a traced device: in the log, and on its channel in Redis as JSON."""

from typing import Annotated

import msgspec

from teltonika.codecs.finding_text import summarise
from teltonika.codecs.packet_finder import find_in_pieces
from teltonika.codecs.timestamps import format_timestamp
from teltonika.codecs.transport import Side, Transport

MAX_HEX_BYTES = 4_096
"""Of one frame; the documented ones have 1,280 at most."""


class _TraceMessage(msgspec.Struct, frozen=True, kw_only=True, tag_field="event"):
    ts: str
    """When it was, by the server's clock: ISO 8601, UTC."""
    imei: str
    instance_id: str


class FrameTold(_TraceMessage, frozen=True, kw_only=True):
    """One frame, in either direction."""

    peer: str
    transport: Transport
    size: int
    """Bytes."""
    summary: str
    """What `teltonika decode --brief` says of it."""
    hex: Annotated[str, msgspec.Meta(pattern="^(?:[0-9a-f]{2})+$")]
    cut: bool
    """Whether ``hex`` has only the first `MAX_HEX_BYTES`."""


class ReceivedFrameTold(FrameTold, frozen=True, kw_only=True, tag="frame_received"):
    """From the device."""


class SentFrameTold(FrameTold, frozen=True, kw_only=True, tag="frame_sent"):
    """To the device."""


class FramesLeftOut(_TraceMessage, frozen=True, kw_only=True, tag="frames_left_out"):
    """There were too many in a second to tell of all."""

    frames: int


TraceMessage = ReceivedFrameTold | SentFrameTold | FramesLeftOut

_TOLD: dict[Side, type[ReceivedFrameTold | SentFrameTold]] = {
    Side.DEVICE: ReceivedFrameTold,
    Side.SERVER: SentFrameTold,
}


def tell_frame(
    sender: Side,
    frame: bytes,
    *,
    imei: str,
    peer: str,
    instance_id: str,
    transport: Transport,
    max_packet_size: int,
    now_ms: int,
) -> ReceivedFrameTold | SentFrameTold:
    """Everything there is to tell of a frame of one byte or more, whatever it is."""
    found = next(find_in_pieces((frame,), max_packet_size, transport=transport, sender=sender))
    return _TOLD[sender](
        ts=format_timestamp(now_ms),
        imei=imei,
        instance_id=instance_id,
        peer=peer,
        transport=transport,
        size=len(frame),
        summary=summarise(found.finding),
        hex=frame[:MAX_HEX_BYTES].hex(),
        cut=len(frame) > MAX_HEX_BYTES,
    )
