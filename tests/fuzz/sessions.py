"""Targets: both ends of a session. Every event must account for its own bytes, in their order."""

from collections.abc import Iterable

from fuzz.data_fields import CRC_SIZE, HEADER_SIZE, check_encodes_back
from fuzz.inputs import Stream
from fuzz.plain_reading import COMMAND_TYPES, defect
from ping_runs import join_pings
from samples import IMEI

from teltonika.codecs import (
    MAX_PACKET_SIZE,
    AvlPacketReceived,
    CommandReceived,
    CommandResponseReceived,
    ConnectionState,
    CrcFailed,
    DeviceConnection,
    DeviceEvent,
    FrameSkipped,
    HandshakeAnswered,
    ImeiReceived,
    PacketAcknowledged,
    PingReceived,
    ProtocolViolation,
    ServerConnection,
    ServerEvent,
    crc16_ibm,
    encode_imei,
)

_IMEI_SIZE = 17
_SHORTEST = HEADER_SIZE + 3 + CRC_SIZE
_FROM_A_SERVER = set(COMMAND_TYPES)


def check_server(stream: Stream) -> None:
    """A device sends ``stream`` and closes: the same events however it is split.

    Each stands for its own bytes. The connection never raises, holds less than one packet, and is
    silent behind a violation.
    """
    whole = _server_events([stream.data], stream.limit)
    cut = _server_events(stream.pieces, stream.limit)
    assert join_pings(cut) == join_pings(whole), f"in pieces {cut!r}, whole {whole!r}"
    at = 0
    for event in whole:
        at += _server_bytes(event, stream.data[at:], stream.limit)
    if whole and isinstance(whole[-1], ProtocolViolation):
        _check_violation(whole[-1], stream.data[at:], stream.limit, is_packet=at > 0)
    else:
        assert at == len(stream.data)


def _check_violation(event: ProtocolViolation, rest: bytes, limit: int, *, is_packet: bool) -> None:
    """``rest`` is what was still to be read; a packet, or the handshake."""
    error, packet = event.error, _packet_at(rest)
    assert 0 <= error.offset <= len(rest), f"{error.offset}: {error}"
    if is_packet and packet and packet[:4] == bytes(4) and len(packet) <= limit:
        assert _crc_is_right(packet)
        found = defect(packet[HEADER_SIZE:-CRC_SIZE])
        assert error.code == found, f"{found}, not {error.code}: {error}"


def _server_events(pieces: Iterable[bytes], limit: int) -> list[ServerEvent]:
    connection = ServerConnection(max_packet_size=limit)
    events: list[ServerEvent] = []
    for piece in pieces:
        events += connection.receive_data(piece)
        held = connection._framer._buffer or b""
        assert len(held) < limit, f"{len(held)} bytes held; the limit is {limit}"
    events += connection.receive_eof()
    violations = [event for event in events if isinstance(event, ProtocolViolation)]
    closed = connection.state is ConnectionState.CLOSED
    assert len(violations) == closed
    if closed:
        assert events[-1] is violations[0]
        assert connection.receive_data(encode_imei(IMEI)) == connection.receive_eof() == []
    return events


def _server_bytes(event: ServerEvent, rest: bytes, limit: int) -> int:
    """How many of the bytes from ``event``'s first one on are its own."""
    match event:
        case ImeiReceived(imei):
            assert rest.startswith(encode_imei(imei))
            return _IMEI_SIZE
        case PingReceived(count):
            assert rest[:count] == b"\xff" * count
            return count
        case ProtocolViolation():
            return 0
    packet = _packet_at(rest)
    assert len(packet) <= limit
    _check_frame(event, packet)
    return len(packet)


def check_device(stream: Stream) -> None:
    """A server sends ``stream``, its answer to the IMEI first: the same events however it is split.

    Where the caller's clock decides as well (`settle`), each event still stands for its own bytes.
    """
    whole, cut = _device_events([stream.data]), _device_events(stream.pieces)
    assert join_pings(cut) == join_pings(whole), f"in pieces {cut!r}, whole {whole!r}"
    _account_for(whole, stream.data, frames_go_first=True)
    settled = _device_events(stream.pieces, settle=True)
    _account_for(settled, stream.data, frames_go_first=False)


def _device_events(pieces: Iterable[bytes], *, settle: bool = False) -> list[DeviceEvent]:
    connection = DeviceConnection()
    connection.start(IMEI)
    events: list[DeviceEvent] = []
    for piece in pieces:
        events += connection.receive_data(piece)
        _check_what_a_device_holds(connection)
        while settle and connection.undecided:
            events += connection.settle() + connection.receive_data(b"")
            _check_what_a_device_holds(connection)
    return events


def _check_what_a_device_holds(connection: DeviceConnection) -> None:
    held = connection._buffer
    assert len(held) < MAX_PACKET_SIZE
    assert not connection.undecided or held.startswith(bytes(4))
    assert connection.state is not ConnectionState.CLOSED or not held, (
        f"{len(held)} bytes held of a session that is over"
    )


def _account_for(events: list[DeviceEvent], data: bytes, *, frames_go_first: bool) -> None:
    at = 0
    for number, event in enumerate(events):
        rest = data[at:]
        match event:
            case HandshakeAnswered(accepted):
                assert number == 0
                assert rest[0] == accepted
                at += 1
            case ProtocolViolation():
                assert number == 0
                assert rest[0] > 1
            case PacketAcknowledged(accepted):
                assert rest.startswith(accepted.to_bytes(4))
                assert not (frames_go_first and _begins_a_command(rest))
                at += 4
            case _:
                assert _begins_a_command(rest)
                packet = _packet_at(rest)
                _check_frame(event, packet)
                at += len(packet)
    if events and events[0] == HandshakeAnswered(accepted=True) and frames_go_first:
        rest = data[at:]
        assert len(rest) < 4 or rest[:4] == bytes(4)
        assert len(rest) < 9 or (_begins_a_command(rest) and not _packet_at(rest))
    elif not events:
        assert not data


def _begins_a_command(rest: bytes) -> bool:
    """Whether a packet stands first, of a size and codec that a server may send."""
    if len(rest) < 9 or rest[:4] != bytes(4) or rest[8] not in _FROM_A_SERVER:
        return False
    return 3 <= int.from_bytes(rest[4:8]) <= MAX_PACKET_SIZE - HEADER_SIZE - CRC_SIZE


def _packet_at(rest: bytes) -> bytes:
    """The packet that ``rest`` begins with, by its length; empty if it is not all there."""
    size = HEADER_SIZE + int.from_bytes(rest[4:8]) + CRC_SIZE
    return rest[:size] if _SHORTEST <= size <= len(rest) else b""


def _crc_is_right(packet: bytes) -> bool:
    return packet[-CRC_SIZE:] == crc16_ibm(packet[HEADER_SIZE:-CRC_SIZE]).to_bytes(CRC_SIZE)


def _check_frame(event: ServerEvent | DeviceEvent, packet: bytes) -> None:
    """``event`` says of a whole packet what is true."""
    assert packet[:4] == bytes(4)
    data = packet[HEADER_SIZE:-CRC_SIZE]
    match event:
        case CrcFailed(error):
            assert not _crc_is_right(packet)
            assert error.offset == len(packet) - CRC_SIZE
            assert error.expected == int.from_bytes(packet[-CRC_SIZE:])
            return
        case AvlPacketReceived(packet=decoded):
            check_encodes_back(decoded, data)
        case CommandReceived(message) | CommandResponseReceived(message):
            check_encodes_back(message, data)
        case FrameSkipped(error):
            assert HEADER_SIZE <= error.offset <= len(packet), f"{error.offset}: {error}"
            assert error.code == defect(data), f"{defect(data)}, not {error.code}: {error}"
        case _:
            raise AssertionError(f"no event of a packet: {event!r}")
    assert _crc_is_right(packet)
