"""A capture file cut into its frames: pcap, and pcapng with any number of interfaces.

Sources: draft-ietf-opsawg-pcap, draft-ietf-opsawg-pcapng.
"""

import struct

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
_LONGEST_HEAD = _PCAP_HEADER_SIZE
_LINK_TYPE_MASK = 0xFFFF  # above it stand facts about a frame's check sequence

_SECTION, _INTERFACE, _OLD_PACKET, _SIMPLE_PACKET, _PACKET = 0x0A0D0D0A, 1, 2, 3, 6
_SECTION_BYTES = _SECTION.to_bytes(4)
_BYTE_ORDERS = {b"\x4d\x3c\x2b\x1a": "<", b"\x1a\x2b\x3c\x4d": ">"}
_BLOCK_OVERHEAD = 12  # type, length, and the length once more
_IF_TSRESOL, _IF_TSOFFSET = 9, 14
MAX_BLOCK_SIZE = 2**24
"""Bytes of a frame or block that are believed; capture programs keep 262,144 of a frame."""
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
    reader = FrameReader()
    frames = reader.receive_data(data)
    reader.receive_eof()
    return CapturedFrames(frames, reader.broken_at)


class FrameReader:
    """A file's bytes in, however they are cut; its frames out, each as soon as it is whole.

    Holds less than one frame or block, and takes none for true that is over `MAX_BLOCK_SIZE`.
    """

    def __init__(self) -> None:
        self._format: _Pcap | _Pcapng | None = None
        self._held = bytearray()
        self._needed = _LONGEST_HEAD  # before that many bytes are held, nothing can be read
        self._offset = 0
        self.broken_at: int | None = None
        """The byte where the file ends inside a frame, or stops making sense: nothing more is
        read. Known for sure after `receive_eof`."""

    def receive_data(self, data: bytes) -> list[CapturedFrame]:
        """The frames that are whole now. Raises CaptureError if the file is no capture."""
        if self.broken_at is not None:
            return []
        if self._held or self._format is None:
            self._held += data
            if len(self._held) < self._needed:
                return []
            data = bytes(self._held)
            self._held.clear()
        frames: list[CapturedFrame] = []
        self._cut(data, frames)
        return frames

    def receive_eof(self) -> None:
        """The file ends. Raises CaptureError if it is no capture."""
        if self._format is None:
            self._begin(bytes(self._held))
            if len(self._held) > self._offset:
                self.broken_at = self._offset
        elif self._held and self.broken_at is None:
            self.broken_at = self._offset

    def _cut(self, data: bytes, frames: list[CapturedFrame]) -> None:
        position = 0
        if self._format is None:
            position = self._offset = self._begin(data)
        assert self._format is not None
        try:
            end, self._needed = self._format.cut(data, position, frames)
        except _Broken as broken:
            self.broken_at = self._offset + broken.offset - position
            return
        self._offset += end - position
        self._held += data[end:]

    def _begin(self, data: bytes) -> int:
        """Settle the format by the file's first bytes; return where its frames begin."""
        if data[:4] in _PCAP_MAGICS:
            self._format = _Pcap(data)
            return _PCAP_HEADER_SIZE
        if data[:4] == _SECTION_BYTES and data[8:12] in _BYTE_ORDERS:
            self._format = _Pcapng()
            return 0
        raise CaptureError(_why_foreign(data))


class _Broken(Exception):  # noqa: N818 - never leaves this module
    """The file stops making sense at ``offset`` of what was handed in."""

    def __init__(self, offset: int) -> None:
        super().__init__(offset)
        self.offset = offset


class _Interface(msgspec.Struct, frozen=True):
    link_type: int
    snap_length: int
    ticks: int
    """In a second."""
    offset_s: int


class _Pcap:
    def __init__(self, header: bytes) -> None:
        order, digits = _PCAP_MAGICS[header[:4]]
        if len(header) < _PCAP_HEADER_SIZE:
            raise CaptureError(f"the capture ends after {len(header)} bytes, inside its own header")
        self._link_type = struct.unpack_from(f"{order}I", header, 20)[0] & _LINK_TYPE_MASK
        self._second = 10**digits
        self._head = struct.Struct(f"{order}IIII")

    def cut(self, data: bytes, position: int, frames: list[CapturedFrame]) -> tuple[int, int]:
        """Append the whole frames from ``position`` on; return where the rest begins, and how
        long it must be for the next one. Raises _Broken."""
        unpack, size, link_type, second = (
            self._head.unpack_from,
            self._head.size,
            self._link_type,
            self._second,
        )
        end = len(data)
        while position + size <= end:
            seconds, fraction, kept, _ = unpack(data, position)
            if kept > MAX_BLOCK_SIZE:
                raise _Broken(position)
            start = position + size
            if start + kept > end:
                return position, size + kept
            frames.append(
                CapturedFrame(seconds + fraction / second, link_type, data[start : start + kept])
            )
            position = start + kept
        return position, size


class _Pcapng:
    def __init__(self) -> None:
        self._order = ""
        self._interfaces: list[_Interface] = []

    def cut(self, data: bytes, position: int, frames: list[CapturedFrame]) -> tuple[int, int]:
        """As of `_Pcap`."""
        while position + _BLOCK_OVERHEAD <= len(data):
            if data[position : position + 4] == _SECTION_BYTES:
                self._order = _BYTE_ORDERS.get(data[position + 8 : position + 12], "")
                self._interfaces = []
            if not self._order:
                raise _Broken(position)
            kind, size = struct.unpack_from(f"{self._order}II", data, position)
            if not _BLOCK_OVERHEAD <= size <= MAX_BLOCK_SIZE or size % 4:
                raise _Broken(position)
            if position + size > len(data):
                return position, size
            try:
                self._read_block(kind, data[position + 8 : position + size - 4], frames)
            except (struct.error, IndexError) as error:
                raise _Broken(position) from error
            position += size
        return position, _BLOCK_OVERHEAD

    def _read_block(self, kind: int, body: bytes, frames: list[CapturedFrame]) -> None:
        if kind == _INTERFACE:
            self._interfaces.append(_interface(body, self._order))
        elif kind in (_PACKET, _OLD_PACKET, _SIMPLE_PACKET):
            frames.append(_frame(kind, body, self._order, self._interfaces))


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
