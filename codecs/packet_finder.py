"""Everything that stands in a string of bytes, whichever end of a session they come from.

Bytes come in pieces: what is found has its own bytes beside it, and no more is kept than the
largest packet takes.
"""

import re
from collections.abc import Iterable, Iterator

import msgspec

from teltonika.codecs.errors import DecodeError, ErrorCode, FramingError
from teltonika.codecs.findings import (
    Finding,
    FoundAck,
    FoundError,
    FoundHandshakeAnswer,
    FoundImei,
    FoundPing,
    found_error,
    found_packet,
)
from teltonika.codecs.framing import (
    HEADER_SIZE,
    MAX_PACKET_SIZE,
    PING,
    checked_data,
    decode_data,
    packet_size,
    ping_run,
    truncated_packet,
)
from teltonika.codecs.handshake import (
    ACCEPTED,
    IMEI_DIGITS,
    IMEI_FRAME_SIZE,
    REJECTED,
    decode_imei,
)
from teltonika.codecs.registry import MESSAGE_CODECS
from teltonika.codecs.transport import Side, Transport
from teltonika.codecs.udp import (
    ANSWER_SIZE,
    ENVELOPE_SIZE,
    MIN_DATAGRAM_SIZE,
    begins_datagram,
    datagram_size,
    decode_answer,
    decode_datagram,
)

_IMEI_LENGTH = IMEI_DIGITS.to_bytes(2)
_ACK_SIZE = 4
_MAX_DATAGRAM_SIZE = 65_537  # what its length can say
_BEHIND = 16
"""Bytes by which a length that leaves out header or CRC, or both, is too small."""


class Found(msgspec.Struct, frozen=True):
    """A finding with its own bytes."""

    finding: Finding
    start: int
    """Where the bytes begin; an error may be further on in them."""
    data: bytes
    """Of bytes that cannot be read, and of a run of pings, the first of them."""
    behind: bytes = b""
    """What stands behind an error's bytes, the first of it: their length may be what is wrong."""


def find_packets(
    data: bytes,
    max_packet_size: int = MAX_PACKET_SIZE,
    *,
    transport: Transport | None = None,
    sender: Side | None = None,
) -> Iterator[Finding]:
    """Everything in ``data``, in order: `find_in_pieces` of one piece, and findings alone."""
    for found in find_in_pieces((data,), max_packet_size, transport=transport, sender=sender):
        yield found.finding


def find_in_pieces(
    pieces: Iterable[bytes],
    max_packet_size: int = MAX_PACKET_SIZE,
    *,
    transport: Transport | None = None,
    sender: Side | None = None,
    lenient: bool = False,
) -> Iterator[Found]:
    """Everything in the bytes, in order. Never raises for what they are.

    A packet or datagram whose inside is wrong is an error, and reading goes on behind it; bytes
    that no known thing begins with are an error too, and the last finding. A ``lenient`` reading
    goes on behind them, and inside a broken packet, whose length may be what is wrong, where the
    next handshake or packet with a right CRC begins.

    Where bytes can be read in two ways: ``00 0F`` and a digit begin a handshake; four zero bytes
    begin a packet, and are an ACK of 0 records only where the input ends with them; a ``01`` at
    the start or behind a handshake answers one, if what follows could; so does a ``00`` there, if
    nothing follows, or the next handshake.
    With a ``transport`` or a ``sender`` only what is of that is looked for.
    """
    finder = _Finder(max_packet_size, transport, sender, lenient=lenient)
    for piece in pieces:
        yield from finder.feed(piece)
    yield from finder.finish()


class _Lost:
    """Bytes that cannot be read, from where that began."""

    def __init__(self, error: DecodeError, start: int, kept: int, transport: str) -> None:
        self._error = error
        self._transport = transport
        self._start = start
        self._kept = kept
        self._data = b""

    def add(self, data: bytes) -> None:
        """More of them."""
        self._data += data[: self._kept - len(self._data)]

    def found(self, end: int) -> Found:
        """The error, now that it is known where the bytes end."""
        error = found_error(self._error, end, self._transport)
        return Found(_cut_short(error, end), self._start, self._data)


def _cut_short(error: FoundError, end: int) -> FoundError:
    """``error`` where its bytes end at ``end``: it may be of a field that the next thing is in."""
    offset = min(error.offset, end)
    return msgspec.structs.replace(error, offset=offset, length=end - offset)


class _Pings:
    """A run of pings, as far as it is read."""

    def __init__(self, start: int, kept: int) -> None:
        self._start = start
        self._kept = kept
        self._count = 0

    def add(self, count: int) -> None:
        """More of them."""
        self._count += count

    def found(self) -> Found:
        """All of them, now that something else follows."""
        data = bytes((PING,)) * min(self._count, self._kept)
        return Found(FoundPing(offset=self._start, length=self._count), self._start, data)


class _Finder:
    """What is not read yet, and what came before it."""

    def __init__(
        self,
        max_packet_size: int,
        transport: Transport | None,
        sender: Side | None,
        *,
        lenient: bool,
    ) -> None:
        self._max_packet_size = max_packet_size
        self._transport = transport
        self._sender = sender
        self._lenient = lenient
        largest = 0 if transport is Transport.TCP else _MAX_DATAGRAM_SIZE
        self._needed = max(max_packet_size, IMEI_FRAME_SIZE, largest) + _BEHIND
        """With so many bytes it is certain what the first of them begins."""
        self._data = b""
        self._offset = 0  # of the first of them
        self._waiting = bytearray()  # behind them: joining each small piece would copy them all
        self._after_imei = sender is not Side.DEVICE  # or at the beginning of a server's bytes
        self._lost: _Lost | None = None
        self._pings: _Pings | None = None

    def feed(self, piece: bytes) -> Iterator[Found]:
        """More bytes; what is certain to be in them."""
        self._waiting += piece
        if len(self._waiting) >= self._needed:
            yield from self._read(self._needed)

    def finish(self) -> Iterator[Found]:
        """There are no more."""
        yield from self._read(1)
        if self._pings is not None:
            yield self._pings.found()
        if self._lost is not None:
            yield self._lost.found(self._offset)

    def _read(self, needed: int) -> Iterator[Found]:
        """All that begins with ``needed`` bytes or more before the end."""
        data, position = self._data + self._waiting, 0
        self._waiting.clear()
        while len(data) - position >= needed:
            start = self._offset + position
            if self._lost is not None:
                end = self._readable_at(data, position, len(data) - needed + 1)
                self._lost.add(data[position:end])
                position = end
                if len(data) - position >= needed:
                    yield self._lost.found(self._offset + position)
                    self._lost = None
                continue
            finding: Finding | DecodeError
            try:
                finding = self._find(data, position, start)
            except DecodeError as error:
                finding = error
            if isinstance(finding, FoundPing):
                count = min(finding.length, len(data) - position - needed + 1)
                self._pings = self._pings or _Pings(start, self._needed)
                self._pings.add(count)
                self._after_imei = False
                position += count
                continue
            if self._pings is not None:
                yield self._pings.found()
                self._pings = None
            if isinstance(finding, DecodeError):
                transport = self._transport or Transport.TCP
                self._lost = _Lost(finding, start, self._needed, transport.value)
                continue
            end = finding.offset + finding.length - self._offset
            behind = b""
            if isinstance(finding, FoundError):
                if self._lenient:
                    own = ENVELOPE_SIZE if finding.transport == "udp" else 1
                    end = self._readable_at(data, position + own, end)
                    finding = _cut_short(finding, self._offset + end)
                behind = data[end : end + _BEHIND]
            yield Found(finding, start, data[position:end], behind)
            self._after_imei = isinstance(finding, FoundImei)
            position = end
        self._data = data[position:]
        self._offset += position

    def _readable_at(self, data: bytes, start: int, end: int) -> int:
        """Where the next handshake or packet begins; ``end`` if none does before it."""
        if not self._lenient:
            return end
        for begin in _BEGINNING.finditer(data, start):
            at = begin.start()
            if at >= end:
                break
            try:
                finding = self._find(data, at, at)
            except DecodeError:
                continue
            if not isinstance(finding, FoundError | FoundAck | FoundHandshakeAnswer):
                return at
        return end

    def _find(self, data: bytes, at: int, start: int) -> Finding:
        """The one thing at index ``at``, which is byte ``start`` of all.

        Raises DecodeError where nothing can be read on.
        """
        if self._transport is not Transport.TCP:
            found = _find_udp(data, at, start, certain=self._transport is Transport.UDP)
            if found is not None:
                return found
        if self._sender is not Side.SERVER:
            if data[at] == PING:
                return FoundPing(offset=start, length=self._pings_at(data, at))
            if data[at : at + 2] == _IMEI_LENGTH and data[at + 2 : at + 3].isdigit():
                imei = decode_imei(data[at : at + IMEI_FRAME_SIZE], start)
                return FoundImei(offset=start, length=IMEI_FRAME_SIZE, imei=imei)
        if self._sender is not Side.DEVICE:
            answer = self._find_answer(data, at, start)
            if answer is not None:
                return answer
        if data[at] == 0:
            return _find_packet(data, at, start, self._max_packet_size)
        raise FramingError(
            ErrorCode.UNRECOGNISED,
            start,
            f"byte {start}: 0x{data[at]:02X} begins neither a handshake nor a packet, "
            "an acknowledgement or a ping",
            found=data[at],
        )

    def _pings_at(self, data: bytes, at: int) -> int:
        """How many begin there: the last of them may begin a datagram instead."""
        end = at + ping_run(data, at)
        if self._transport is not Transport.TCP:
            for last in range(max(at + 1, end - _DATAGRAM_MARK), end):
                if begins_datagram(data, last):
                    return last - at
        return end - at

    def _find_answer(self, data: bytes, at: int, start: int) -> Finding | None:
        if self._after_imei:
            answer = _handshake_answer(data, at, start)
            if answer is not None:
                return answer
        head = data[at : at + _ACK_SIZE]
        if len(head) < _ACK_SIZE or any(head[:3]):
            return None
        if head[3] or len(data) - at == _ACK_SIZE:
            return FoundAck(offset=start, length=_ACK_SIZE, accepted=head[3])
        if self._sender is Side.SERVER and not _begins_message(data, at):
            return FoundAck(offset=start, length=_ACK_SIZE, accepted=0)
        return None


_DATAGRAM_MARK = 4
"""Bytes of a datagram before the first that no ping is."""
_BEGINNING = re.compile(
    rb"(?=\x00\x0f[0-9]{15}|\x00{4}(?!\x00{3}[\x00-\x02])|....\x01.\x00\x0f[0-9]{15})",
    re.DOTALL,
)
"""Of a handshake, a packet, whose length is 3 at least, or a datagram."""


def _begins_message(data: bytes, at: int) -> bool:
    """Whether a packet begins there that a server may send."""
    return len(data) > at + HEADER_SIZE and data[at + HEADER_SIZE] in MESSAGE_CODECS.ids


def _find_packet(data: bytes, at: int, start: int, max_packet_size: int) -> Finding:
    size = packet_size(data, at, max_packet_size, start)
    if size is None or at + size > len(data):
        raise truncated_packet(len(data) - at, size, start)
    try:
        packet = decode_data(checked_data(data[at : at + size], start), start + HEADER_SIZE)
    except DecodeError as error:
        return found_error(error, start + size)  # its length is known: what follows can be read
    return found_packet(packet, start, size)


def _handshake_answer(data: bytes, at: int, start: int) -> FoundHandshakeAnswer | None:
    """The server's byte after an IMEI, if what follows it may follow it: nothing, a packet or an
    ACK, a ping, or, of the device's next session, a handshake."""
    answer, follows = data[at : at + 1], data[at + 1 : at + 4]
    again = not follows or (follows[:2] == _IMEI_LENGTH and follows[2:].isdigit())
    if answer == ACCEPTED and (again or follows[0] == PING or not any(follows)):
        return FoundHandshakeAnswer(offset=start, length=1, imei_accepted=True)
    if answer == REJECTED and again:
        return FoundHandshakeAnswer(offset=start, length=1, imei_accepted=False)
    return None


def _find_udp(data: bytes, at: int, start: int, *, certain: bool) -> Finding | None:
    """A device's datagram, or the answer to one, if one seems to stand there, or is ``certain``."""
    answer = decode_answer(data[at : at + ANSWER_SIZE])
    if answer is not None:
        return FoundAck(offset=start, length=ANSWER_SIZE, transport="udp", accepted=answer.accepted)
    if not (certain or begins_datagram(data, at)):
        return None
    size = max(datagram_size(data, at), MIN_DATAGRAM_SIZE)
    own = data[at : at + size]
    try:
        datagram = decode_datagram(own, start)
        packet = decode_data(datagram.data, start + ENVELOPE_SIZE)
    except DecodeError as error:
        if datagram_size(data, at) < MIN_DATAGRAM_SIZE and not begins_datagram(data, at):
            raise  # no datagram, and nothing says where the next one begins
        return found_error(error, start + len(own), "udp")
    return found_packet(packet, start, size, datagram)
