"""Which conversations of a capture a device had, and which of their two ends it is."""

from collections.abc import Iterable
from ipaddress import IPv6Address

import msgspec

from teltonika.codecs.captures.packets import Endpoint, Flow, Segment, flow_ends, opposite
from teltonika.codecs.captures.streams import Closing, Connection, Payload, Stream
from teltonika.codecs.errors import FramingError
from teltonika.codecs.framing import HEADER_SIZE, MAX_PACKET_SIZE, packet_size
from teltonika.codecs.handshake import IMEI_FRAME_SIZE, decode_imei
from teltonika.codecs.registry import CODECS
from teltonika.codecs.transport import Side
from teltonika.codecs.udp import datagram_imei


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
        self.payloads: dict[Flow, list[Payload]] = {segment.flow: [], opposite(segment.flow): []}

    def add(self, segment: Segment, time: float, frame: int) -> None:
        self.payloads[segment.flow].append(Payload(time, segment.data, frame))


class Recording:
    """A TCP connection with all that its two ends sent."""

    def __init__(self, segment: Segment, time: float, frame: int) -> None:
        self.connection = Connection(segment, time, frame)
        self.payloads: dict[Flow, list[Payload]] = {flow: [] for flow in self.connection.streams}

    def add(self, segment: Segment, time: float, frame: int) -> None:
        for flow, payload in self.connection.add(segment, time, frame):
            self.payloads[flow].append(payload)

    def finish(self) -> None:
        for flow, payload in self.connection.finish():
            self.payloads[flow].append(payload)


def find_session(
    conversation: Recording | Exchange, server_port: int | None
) -> CapturedSession | None:
    """``conversation`` as a device's session; None if it is none.

    The device is who sends an IMEI: as a handshake, or in a datagram's header. Of a connection
    whose beginning was not captured it is who sends a packet. With ``server_port`` it is who
    sends to that port, whatever it sends.
    """
    if isinstance(conversation, Exchange):
        return _find_exchange(conversation, server_port)
    connection, payloads = conversation.connection, conversation.payloads
    for device, server in _both_ways(payloads):
        imei = _handshake_imei(payloads[device])
        if server_port is None:
            if imei is None and not (
                _brings_packet(payloads[device])
                and connection.opener in (None, device)
                and not connection.streams[device].began
            ):
                continue
        elif flow_ends(device)[1][1] != server_port:
            continue
        by, closing, closed = _end(connection.streams[device], connection.streams[server])
        device_address, server_address = end_names(device)
        return CapturedSession(
            transport="tcp",
            device_address=device_address,
            server_address=server_address,
            started=connection.started,
            frame=connection.frame,
            imei=imei,
            device=payloads[device],
            server=payloads[server],
            from_start=imei is not None or connection.streams[device].began,
            closed_by=by,
            closing=closing,
            closed=closed,
        )
    return None


def end_names(flow: Flow) -> tuple[str, str]:
    """Source and destination of a direction, as ``address:port``."""
    source, destination = flow_ends(flow)
    return _name(source), _name(destination)


def _find_exchange(exchange: Exchange, server_port: int | None) -> CapturedSession | None:
    for device, server in _both_ways(exchange.payloads):
        imeis = [datagram_imei(payload.data) for payload in exchange.payloads[device]]
        imei = next((imei for imei in imeis if imei is not None), None)
        wanted = imei is not None if server_port is None else flow_ends(device)[1][1] == server_port
        if wanted:
            device_address, server_address = end_names(device)
            return CapturedSession(
                transport="udp",
                device_address=device_address,
                server_address=server_address,
                started=exchange.started,
                frame=exchange.frame,
                imei=imei,
                device=exchange.payloads[device],
                server=exchange.payloads[server],
            )
    return None


def _both_ways(flows: Iterable[Flow]) -> tuple[tuple[Flow, Flow], tuple[Flow, Flow]]:
    """Either direction of a conversation as the device's, with the server's."""
    first, second = flows
    return (first, second), (second, first)


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
        if len(data) <= HEADER_SIZE or data[HEADER_SIZE] not in CODECS.ids:
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
    return f"{_address_name(end[0])}:{end[1]}"


def _address_name(address: bytes) -> str:
    """As a URL has it."""
    return ".".join(map(str, address)) if len(address) == 4 else f"[{IPv6Address(address)}]"
