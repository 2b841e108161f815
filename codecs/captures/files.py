"""A capture file cut into its frames: pcap, and pcapng with any number of interfaces.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
"""

import struct
from collections.abc import Iterator

import msgspec

from teltonika.codecs.errors import CaptureError

_PCAP_MAGICS = {
    b"\xd4\xc3\xb2\xa1": ("<", 6),
    b"\xa1\xb2\xc3\xd4": (">", 6),
    b"\x4d\x3c\xb2\xa1": ("<", 9),
    b"\xa1\xb2\x3c\x4d": (">", 9),
}
"""The first four bytes to byte order and digits of a second's fraction."""
_PCAP_HEADER_SIZE = 24
_LINK_TYPE_MASK = 0xFFFF  # above it stand facts about a frame's check sequence

_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_SECTION_BYTES = _SECTION.to_bytes(4)
_BYTE_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_BLOCK_OVERHEAD = 12  # type, length, and the length once more
_IF_TSRESOL, _IF_TSOFFSET = 9, 14
_FOREIGN = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "LZ4",
    b"\xfd7zXZ": "xz",
}


class CapturedFrame(msgspec.Struct, frozen=True, gc=False):
    """One frame as a link showed it."""

    time: float
    """Seconds since 1970-01-01 UTC; 0 where the file has none."""
    link_type: int
    """As in the registry of LINKTYPE values: 1 is Ethernet."""
    data: bytes
    """What was kept of it."""


class CapturedFrames(msgspec.Struct, frozen=True):
    """The frames of a file, in its order."""

    frames: list[CapturedFrame]
    broken_at: int | None = None
    """The byte where the file ends inside a frame, or stops making sense; None if it does not."""


def read_frames(data: bytes) -> CapturedFrames:
    """The frames in a file's bytes. What stands before a break in the file is kept.

    Raises CaptureError if ``data`` does not begin as a pcap or pcapng file.
    """
    frames: list[CapturedFrame] = []
    if data[:4] in _PCAP_MAGICS:
        reader = _read_pcap(data)
    elif data[:4] == _SECTION_BYTES and data[8:12] in _BYTE_ORDERS:
        reader = _read_pcapng(data)
    else:
        raise CaptureError(_why_foreign(data))
    try:
        for frame in reader:
            frames.append(frame)  # noqa: PERF402 - what came before a break is kept
    except _Broken as broken:
        return CapturedFrames(frames, broken.offset)
    return CapturedFrames(frames)


class _Broken(Exception):  # noqa: N818 - never leaves this module
    """The file ends, or stops making sense, at ``offset``."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class _Interface(msgspec.Struct, frozen=True):
    link_type: int
    snap_length: int
    ticks: int
    """In a second."""
    offset_s: int


def _read_pcap(data: bytes) -> Iterator[CapturedFrame]:
    order, digits = _PCAP_MAGICS[data[:4]]
    if len(data) < _PCAP_HEADER_SIZE:
        raise CaptureError(f"the capture ends after {len(data)} bytes, inside its own header")
    link_type = struct.unpack_from(f"{order}I", data, 20)[0] & _LINK_TYPE_MASK
    head = struct.Struct(f"{order}IIII")
    position = _PCAP_HEADER_SIZE
    while position < len(data):
        start = position + head.size
        if start > len(data):
            raise _Broken(position)
        seconds, fraction, kept, _ = head.unpack_from(data, position)
        end = start + kept
        if end > len(data):
            raise _Broken(position)
        yield CapturedFrame(seconds + fraction / 10**digits, link_type, data[start:end])
        position = end


def _read_pcapng(data: bytes) -> Iterator[CapturedFrame]:
    order = "<"
    interfaces: list[_Interface] = []
    position = 0
    while position < len(data):
        if data[position : position + 4] == _SECTION_BYTES:
            order = _BYTE_ORDERS.get(data[position + 8 : position + 12], "")
            interfaces = []
        if not order or position + _BLOCK_OVERHEAD > len(data):
            raise _Broken(position)
        kind, size = struct.unpack_from(f"{order}II", data, position)
        if size < _BLOCK_OVERHEAD or size % 4 or position + size > len(data):
            raise _Broken(position)
        body = data[position + 8 : position + size - 4]
        try:
            if kind == _INTERFACE:
                interfaces.append(_interface(body, order))
            elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
                yield _frame(kind, body, order, interfaces)
        except (struct.error, IndexError) as error:
            raise _Broken(position) from error
        position += size


def _interface(body: bytes, order: str) -> _Interface:
    link_type, _, snap_length = struct.unpack_from(f"{order}HHI", body)
    ticks, offset_s, position = 10**6, 0, 8
    while position + 4 <= len(body):
        code, size = struct.unpack_from(f"{order}HH", body, position)
        value = body[position + 4 : position + 4 + size]
        if code == 0:
            break
        if code == _IF_TSRESOL and len(value) == 1:
            base, power = (2, value[0] & 0x7F) if value[0] & 0x80 else (10, value[0])
            ticks = base**power
        elif code == _IF_TSOFFSET and len(value) == 8:
            (offset_s,) = struct.unpack(f"{order}q", value)
        position += 4 + size + -size % 4
    return _Interface(link_type, snap_length, ticks, offset_s)


def _frame(kind: int, body: bytes, order: str, interfaces: list[_Interface]) -> CapturedFrame:
    """Raises struct.error or IndexError where the block contradicts itself."""
    if kind == _SIMPLE_PACKET:
        (length,) = struct.unpack_from(f"{order}I", body)
        interface = interfaces[0]
        kept = min(length, interface.snap_length or length, len(body) - 4)
        return CapturedFrame(0.0, interface.link_type, body[4 : 4 + kept])
    form = "IIIII" if kind == _PACKET else "HHIIII"
    number, *_, high, low, kept, _length = struct.unpack_from(f"{order}{form}", body)
    interface = interfaces[number]
    if 20 + kept > len(body):
        raise IndexError("the block is shorter than what it says it keeps")
    # From whole ticks: a power of up to 255 would be infinite as a float.
    seconds, rest = divmod((high << 32) + low, interface.ticks)
    time = seconds + interface.offset_s + rest / interface.ticks
    return CapturedFrame(time, interface.link_type, body[20 : 20 + kept])


def _why_foreign(data: bytes) -> str:
    if not data:
        return "the file is empty: a capture has at least its header"
    for magic, name in _FOREIGN.items():
        if data.startswith(magic):
            return f"the file is compressed with {name}: unpack it first"
    return (
        "the file is no capture: expected pcap or pcapng, found a file that begins with "
        f"{data[:4].hex(' ').upper()}"
    )
