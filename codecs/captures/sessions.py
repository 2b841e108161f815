"""Which conversations of a capture a device had, and which of their two ends it is."""

from enum import StrEnum
from ipaddress import ip_address

import msgspec

from teltonika.codecs.captures.packets import Endpoint, Segment
from teltonika.codecs.captures.streams import Closing, Connection, Payload, Stream
from teltonika.codecs.errors import FramingError
from teltonika.codecs.framing import HEADER_SIZE, MAX_PACKET_SIZE, packet_size
from teltonika.codecs.handshake import IMEI_DIGITS, IMEI_FRAME_SIZE, decode_imei
from teltonika.codecs.registry import CODECS

UDP_IMEI_AT = 8
"""In a datagram: behind length, packet id, 01, AVL packet id and the IMEI's length."""
_CODEC_IDS = frozenset(codec.codec_id for codec in CODECS)


class Side(StrEnum):
    """An end of a session."""

    DEVICE = "device"
    SERVER = "server"


class CapturedSession(msgspec.Struct, frozen=True, kw_only=True):
    """One TCP connection, or all datagrams between two ends."""

    transport: str
    """``tcp`` or ``udp``."""
    device_address: str
    server_address: str
    started: float
    """Seconds since 1970-01-01 UTC at which its first frame was captured."""
    frame: int
    """That frame's number in the file, from 0."""
    imei: str | None
    """None where the capture does not show it."""
    device: list[Payload]
    """What the device sent, in the order of its stream."""
    server: list[Payload]
    from_start: bool = True
    """Whether the capture shows the beginning of what the device sent."""
    closed_by: Side | None = None
    """Who closed first; None where the capture shows no end."""
    closing: Closing | None = None
    closed: float | None = None
    """When."""

    @property
    def missing(self) -> int:
        """Bytes of both sides that the capture has not, between those that it has."""
        return sum(payload.gap for payload in (*self.device, *self.server))


class Exchange:
    """The datagrams between two ends."""

    def __init__(self, segment: Segment, time: float, frame: int) -> None:
        self.started = time
        self.frame = frame
        self.payloads: dict[Endpoint, list[Payload]] = {
            segment.source: [],
            segment.destination: [],
        }

    def add(self, segment: Segment, time: float, frame: int) -> None:
        self.payloads[segment.source].append(Payload(time, segment.data, frame))


def find_session(
    conversation: Connection | Exchange, server_port: int | None
) -> CapturedSession | None:
    """``conversation`` as a device's session; None if it is none.

    The device is who sends an IMEI: as a handshake, or in a datagram's header. Of a connection
    whose beginning was not captured it is who sends a packet. With ``server_port`` it is who
    sends to that port, whatever it sends.
    """
    if isinstance(conversation, Exchange):
        return _find_exchange(conversation, server_port)
    payloads = {end: stream.payloads() for end, stream in conversation.streams.items()}
    ends = list(payloads)
    for device, server in (ends, ends[::-1]):
        imei = _handshake_imei(payloads[device])
        if server_port is None:
            if imei is None and not (
                _brings_packet(payloads[device])
                and (conversation.opener is None or conversation.opener == device)
                and not conversation.streams[device].began
            ):
                continue
        elif server[1] != server_port:
            continue
        by, closing, closed = _end(conversation.streams[device], conversation.streams[server])
        return CapturedSession(
            transport="tcp",
            device_address=_name(device),
            server_address=_name(server),
            started=conversation.started,
            frame=conversation.frame,
            imei=imei,
            device=payloads[device],
            server=payloads[server],
            from_start=imei is not None or conversation.streams[device].began,
            closed_by=by,
            closing=closing,
            closed=closed,
        )
    return None


def udp_imei(datagram: bytes) -> str | None:
    """The IMEI in a device's datagram; None if it is no such datagram."""
    if len(datagram) < UDP_IMEI_AT or datagram[4] != 1:
        return None
    try:
        return decode_imei(datagram[UDP_IMEI_AT - 2 : UDP_IMEI_AT + IMEI_DIGITS])
    except FramingError:
        return None


def _find_exchange(exchange: Exchange, server_port: int | None) -> CapturedSession | None:
    ends = list(exchange.payloads)
    for device, server in (ends, ends[::-1]):
        imeis = [udp_imei(payload.data) for payload in exchange.payloads[device]]
        imei = next((imei for imei in imeis if imei is not None), None)
        wanted = imei is not None if server_port is None else server[1] == server_port
        if wanted:
            return CapturedSession(
                transport="udp",
                device_address=_name(device),
                server_address=_name(server),
                started=exchange.started,
                frame=exchange.frame,
                imei=imei,
                device=exchange.payloads[device],
                server=exchange.payloads[server],
            )
    return None


def _handshake_imei(payloads: list[Payload]) -> str | None:
    begin = b""
    for payload in payloads:
        if payload.gap or len(begin) >= IMEI_FRAME_SIZE:
            break
        begin += payload.data
    try:
        return decode_imei(begin[:IMEI_FRAME_SIZE])
    except FramingError:
        return None


def _brings_packet(payloads: list[Payload]) -> bool:
    """Whether one of them begins with a packet of a known codec."""
    for payload in payloads:
        data = payload.data
        if len(data) <= HEADER_SIZE or data[HEADER_SIZE] not in _CODEC_IDS:
            continue
        try:
            packet_size(data, 0, MAX_PACKET_SIZE)
        except FramingError:
            continue
        return True
    return False


def _end(device: Stream, server: Stream) -> tuple[Side | None, Closing | None, float | None]:
    """Who closed first, how and when."""
    ends = [
        (closed.frame, side, closed)
        for side, closed in ((Side.DEVICE, device.closed), (Side.SERVER, server.closed))
        if closed is not None
    ]
    if not ends:
        return None, None, None
    _, side, closed = min(ends, key=lambda end: end[0])
    return side, closed.how, closed.time


def _name(end: Endpoint) -> str:
    address = ip_address(end[0])
    return f"[{address}]:{end[1]}" if address.version == 6 else f"{address}:{end[1]}"
