"""A captured frame to the TCP segment or UDP datagram in it, through whatever carries it."""

import struct
from enum import Enum, IntEnum

import msgspec

from teltonika.codecs.captures.files import CapturedFrame

Endpoint = tuple[bytes, int]
"""Address, 4 or 16 bytes, and port."""
Flow = bytes
"""A direction: source and destination address, source and destination port, as on the wire."""


def flow_ends(flow: Flow) -> tuple[Endpoint, Endpoint]:
    """Source and destination of a direction."""
    size = (len(flow) - 4) // 2
    return (
        (flow[:size], int.from_bytes(flow[-4:-2])),
        (flow[size:-4], int.from_bytes(flow[-2:])),
    )


def opposite(flow: Flow) -> Flow:
    """The direction back."""
    size = (len(flow) - 4) // 2
    return flow[size:-4] + flow[:size] + flow[-2:] + flow[-4:-2]


class Skipped(Enum):
    """Why a frame brings nothing."""

    LINK_TYPE = "unknown link type"
    OTHER_PROTOCOL = "neither TCP nor UDP"
    FRAGMENT = "IP fragment"
    MALFORMED = "malformed"


class Segment(msgspec.Struct, frozen=True, gc=False):
    """What one end sent the other in one IP packet."""

    flow: Flow
    data: bytes
    missing: int
    """Bytes at its end that the capture did not keep."""
    tcp: bool
    seq: int = 0
    ack: int = 0
    flags: int = 0


FIN, SYN, RST, ACK = 0x01, 0x02, 0x04, 0x10

_IPV4, _IPV6, _TCP, _UDP = 0x0800, 0x86DD, 6, 17
_VLANS = frozenset((0x8100, 0x88A8, 0x9100))
_FRAGMENT_HEADER, _AUTHENTICATION = 44, 51
_EXTENSIONS = frozenset((0, 43, 60, 135, _AUTHENTICATION))


class LinkType(IntEnum):
    """What can be read (registry of LINKTYPE values)."""

    NULL = 0
    ETHERNET = 1
    PPP = 9
    OPENBSD_RAW = 12
    BSDOS_RAW = 14
    RAW = 101
    LOOP = 108
    LINUX_SLL = 113
    IPV4 = 228
    IPV6 = 229
    LINUX_SLL2 = 276


LINK_TYPES = frozenset(LinkType)
_ETHERNET = 1

_PLAIN = struct.Struct(">12xHBxH2xHxB2x12sIIBB").unpack_from
"""TCP in IPv4 without options in Ethernet: all that is read of its headers."""
_PLAIN_SIZE = 54


def read_segment(frame: CapturedFrame) -> Segment | Skipped:
    """What ``frame`` carries. Never raises for what its bytes are."""
    data = frame.data
    if frame.link_type == _ETHERNET and len(data) >= _PLAIN_SIZE:
        # Nearly every frame there is, at a quarter of the time.
        kind, version, total, fragment, protocol, flow, seq, ack, size, flags = _PLAIN(data)
        start = 34 + (size >> 4) * 4
        end = 14 + total
        if (
            kind == _IPV4
            and version == 0x45
            and protocol == _TCP
            and not fragment & 0x3FFF
            and _PLAIN_SIZE <= start <= end
            and (flow[3] != flow[7] or flow[:3] != flow[4:7])
        ):
            missing = end - len(data)
            if missing <= 0:
                return Segment(flow, data[start:end], 0, True, seq, ack, flags)
    return _read_any(frame)


def _read_any(frame: CapturedFrame) -> Segment | Skipped:
    if frame.link_type not in LINK_TYPES:
        return Skipped.LINK_TYPE
    try:
        packet = _ip_packet(frame)
        if packet is None:
            return Skipped.OTHER_PROTOCOL
        if packet[0] >> 4 == 4:
            return _read_ipv4(packet)
        if packet[0] >> 4 == 6:
            return _read_ipv6(packet)
    except (struct.error, IndexError):
        return Skipped.MALFORMED
    return Skipped.MALFORMED


def _ip_packet(frame: CapturedFrame) -> bytes | None:
    """The IP packet in a frame; None if it carries none."""
    data = frame.data
    match frame.link_type:
        case LinkType.ETHERNET:
            position, ether_type = 14, _word(data, 12)
        case LinkType.LINUX_SLL:
            position, ether_type = 16, _word(data, 14)
        case LinkType.LINUX_SLL2:
            position, ether_type = 20, _word(data, 0)
        case LinkType.NULL | LinkType.LOOP:
            return data[4:] if data[4] >> 4 in (4, 6) else None
        case LinkType.PPP:
            position = 2 if data[:2] == b"\xff\x03" else 0
            protocol = _word(data, position)
            return data[position + 2 :] if protocol in (0x21, 0x57) else None
        case _:
            return data
    while ether_type in _VLANS:
        ether_type = _word(data, position + 2)
        position += 4
    return data[position:] if ether_type in (_IPV4, _IPV6) else None


def _read_ipv4(packet: bytes) -> Segment | Skipped:
    header_size = (packet[0] & 0x0F) * 4
    total = _word(packet, 2) or len(packet)  # 0 where the network card was to cut it up
    if header_size < 20 or total < header_size:
        return Skipped.MALFORMED
    if packet[9] not in (_TCP, _UDP):
        return Skipped.OTHER_PROTOCOL
    if _word(packet, 6) & 0x3FFF:
        return Skipped.FRAGMENT
    return _read_transport(packet[9], packet[12:20], packet[header_size:total], total - header_size)


def _read_ipv6(packet: bytes) -> Segment | Skipped:
    size = _word(packet, 4) or len(packet) - 40
    following, position = packet[6], 40
    while following in _EXTENSIONS:
        length = packet[position + 1]
        step = (length + 2) * 4 if following == _AUTHENTICATION else (length + 1) * 8
        following = packet[position]
        position += step
    if following == _FRAGMENT_HEADER:
        return Skipped.FRAGMENT
    if following not in (_TCP, _UDP):
        return Skipped.OTHER_PROTOCOL
    end = 40 + size
    return _read_transport(following, packet[8:40], packet[position:end], end - position)


def _read_transport(protocol: int, addresses: bytes, body: bytes, length: int) -> Segment | Skipped:
    """``length`` is what the body had on the wire: the capture may have kept less."""
    flow = addresses + body[:4]
    source, destination = flow_ends(flow)
    if len(body) < 4 or source == destination:
        return Skipped.MALFORMED
    if protocol == _UDP:
        declared = _word(body, 4) or length
        if not 8 <= declared <= length:
            return Skipped.MALFORMED
        data = body[8:declared]
        return Segment(flow, data, declared - 8 - len(data), tcp=False)
    seq, ack, flags = struct.unpack_from(">IIxB", body, 4)
    header_size = (body[12] >> 4) * 4
    if not 20 <= header_size <= length:
        return Skipped.MALFORMED
    data = body[header_size:]
    missing = length - header_size - len(data)
    return Segment(flow, data, missing, tcp=True, seq=seq, ack=ack, flags=flags)


def _word(data: bytes, position: int) -> int:
    word: int = struct.unpack_from(">H", data, position)[0]
    return word
