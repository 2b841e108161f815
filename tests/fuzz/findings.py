"""Targets: bytes and text as `teltonika decode` reads them."""

import re

import msgspec
from fuzz.inputs import Reader, Stream
from samples import framed

from teltonika.codecs import AvlPacket, CommandMessage, decode_imei, decode_packet
from teltonika.codecs.findings import (
    Finding,
    FoundAck,
    FoundAvlPacket,
    FoundError,
    FoundHandshakeAnswer,
    FoundImei,
    FoundMessage,
    FoundPing,
)
from teltonika.codecs.hextext import HexTextError, parse_hex_text
from teltonika.codecs.packet_finder import find_packets


def check_findings(stream: Stream) -> None:
    """The findings cover the bytes in order, none twice, and each says what its bytes are.

    Only an error may begin behind the end of the one before it: inside the packet it is about,
    where it also ends, or with it the input.
    """
    data, end = stream.data, 0
    for finding in find_packets(data, stream.limit):
        start, end = end, finding.offset + finding.length
        assert start <= finding.offset, f"at {finding.offset}, behind {start}: {finding!r}"
        assert end <= len(data), f"ends at {end} of {len(data)}: {finding!r}"
        if not isinstance(finding, FoundError):
            assert finding.offset == start
            assert finding.length > 0
        elif end < len(data):
            assert end == start + _declared_size(data[start:], finding.transport), repr(finding)
        _check_finding(finding, data[finding.offset : end])
        msgspec.json.encode(finding)
    assert end == len(data)


def _declared_size(rest: bytes, transport: str) -> int:
    """What reading goes on behind, after an error: a packet or datagram of this size."""
    if transport == "udp":
        return max(26, 2 + int.from_bytes(rest[:2]))
    return 12 + int.from_bytes(rest[4:8])


def _check_finding(finding: Finding, own: bytes) -> None:
    match finding:
        case FoundImei():
            assert decode_imei(own) == finding.imei
        case FoundAvlPacket():
            packet = _decode(own, finding)
            assert isinstance(packet, AvlPacket)
            assert packet.codec_id == finding.codec_id
            assert [
                (record.timestamp_ms, [(e.id, e.bytes, e.value) for e in record.io])
                for record in finding.records
            ] == [
                (record.timestamp_ms, [(e.id, e.width, _shown(e.value)) for e in record.io])
                for record in packet.records
            ]
        case FoundMessage():
            message = _decode(own, finding)
            assert isinstance(message, CommandMessage)
            assert message.content.hex() == finding.hex
        case FoundAck(transport="udp"):
            assert own[:2] == (len(own) - 2).to_bytes(2)
            assert own[4:5] + own[6:] == bytes((1, finding.accepted))
        case FoundAck():
            assert own == finding.accepted.to_bytes(4)
        case FoundHandshakeAnswer():
            assert own == bytes((finding.imei_accepted,))
        case FoundPing():
            assert own == b"\xff" * finding.length


def _decode(own: bytes, finding: Finding) -> AvlPacket | CommandMessage:
    """What the finding's own bytes hold; of a datagram its data field in a packet."""
    if finding.transport == "tcp":
        return decode_packet(own)
    assert int.from_bytes(own[:2]) == len(own) - 2
    assert decode_imei(own[6:23])
    return decode_packet(framed(own[23:]))


def _shown(value: int | bytes) -> int | str:
    return value.hex() if isinstance(value, bytes) else value


def check_hex_text(data: bytes) -> None:
    """Any text is bytes, or an error that says where. The first byte says what kind of text."""
    reader = Reader(data)
    utf8 = reader.number(1) % 2
    text = reader.rest().decode(*(("utf-8", "surrogateescape") if utf8 else ("latin-1",)))
    rows = text.splitlines()
    try:
        parsed = parse_hex_text(text)
    except HexTextError as error:
        assert error.code == "bad_hex"
        assert error.offset == len(error.data)
        assert 1 <= error.line <= len(rows)
        assert 1 <= error.column <= len(rows[error.line - 1])
        error.message.encode()
    else:
        assert parse_hex_text(parsed.hex()) == parsed
        digits = len(re.findall(r"[0-9A-Fa-f]", text))
        assert len(parsed) * 2 <= digits or "*" in text


def check_dumps(data: bytes) -> None:
    """Bytes, written as people's tools write them, are read back. The first bytes say how."""
    reader = Reader(data)
    form = reader.number(1) % 3
    columns = 1 + reader.number(1) % 40
    group = 1 + reader.number(1) % 8
    content = reader.rest()
    if content:
        text = (_xxd(content, columns, group), _hexdump(content), _od(content))[form]
        assert parse_hex_text(text) == content, text


def _printable(row: bytes) -> str:
    return "".join(chr(byte) if 0x20 <= byte < 0x7F else "." for byte in row)


def _xxd(data: bytes, columns: int, group: int) -> str:
    lines = []
    for at in range(0, len(data), columns):
        row = data[at : at + columns]
        groups = " ".join(row[i : i + group].hex() for i in range(0, len(row), group))
        lines.append(f"{at:08x}: {groups}  {_printable(row)}\n")
    return "".join(lines)


def _hexdump(data: bytes) -> str:
    rows = [
        f"{row[:8].hex(' '):<23}  {row[8:].hex(' '):<23}  |{_printable(row)}|"
        for row in _rows(data)
    ]
    return _with_offsets(data, rows, "  ")


def _od(data: bytes) -> str:
    return _with_offsets(data, [row.hex(" ") for row in _rows(data)], " ")


def _rows(data: bytes) -> list[bytes]:
    return [data[at : at + 16] for at in range(0, len(data), 16)]


def _with_offsets(data: bytes, rows: list[str], space: str) -> str:
    """As hexdump and od do it: rows that repeat are one ``*``, and the length stands last."""
    lines: list[str] = []
    for number, row in enumerate(rows):
        if number and row == rows[number - 1]:
            if lines[-1] != "*":
                lines.append("*")
            continue
        lines.append(f"{number * 16:08x}{space}{row}")
    return "\n".join([*lines, f"{len(data):08x}"]) + "\n"
