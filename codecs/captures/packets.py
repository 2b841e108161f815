"""A captured frame to the TCP segment or UDP datagram in it, through whatever carries it."""

import struct
from enum import Enum, IntEnum

import msgspec

from teltonika.codecs.captures.files import CapturedFrame

Endpoint = tuple[bytes, int]
"""Address, 4 or 16 bytes, and port."""


class Skipped(Enum):
    """Why a frame brings nothing."""

    LINK_TYPE = "unknown link type"
    OTHER_PROTOCOL = "neither TCP nor UDP"
    FRAGMENT = "IP fragment"
    MALFORMED = "malformed"


class Segment(msgspec.Struct, frozen=True, gc=False):
    """What one end sent the other in one IP packet."""

    source: Endpoint
    destination: Endpoint
    data: bytes
    missing: int
    """Bytes at its end that the capture did not keep."""
    tcp: bool
    seq: int = 0
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


def read_segment(frame: CapturedFrame) -> Segment | Skipped:
    """What ``frame`` carries. Never raises for what its bytes are."""
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
    return _read_transport(
        packet[9], packet[12:16], packet[16:20], packet[header_size:total], total - header_size
    )


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
    return _read_transport(
        following, packet[8:24], packet[24:40], packet[position:end], end - position
    )


def _read_transport(
    protocol: int, source: bytes, destination: bytes, body: bytes, length: int
) -> Segment | Skipped:
    """``length`` is what the body had on the wire: the capture may have kept less."""
    source_port, destination_port = struct.unpack_from(">HH", body)
    ends = (source, source_port), (destination, destination_port)
    if ends[0] == ends[1]:
        return Skipped.MALFORMED
    if protocol == _UDP:
        declared = _word(body, 4) or length
        if not 8 <= declared <= length:
            return Skipped.MALFORMED
        data = body[8:declared]
        return Segment(*ends, data, declared - 8 - len(data), tcp=False)
    seq, flags = struct.unpack_from(">I5xB", body, 4)
    header_size = (body[12] >> 4) * 4
    if not 20 <= header_size <= length:
        return Skipped.MALFORMED
    data = body[header_size:]
    missing = length - header_size - len(data)
    return Segment(*ends, data, missing, tcp=True, seq=seq, flags=flags)


def _word(data: bytes, position: int) -> int:
    word: int = struct.unpack_from(">H", data, position)[0]
    return word
