"""What is said of broken bytes is what was done to them, and of whole ones nothing is said."""

import fastcrc
import pytest
from samples import HANDSHAKE, IMEI, PACKET, SAMPLES, Sample, framed, sample

from teltonika.codecs import AVL_CODECS, crc16_ibm
from teltonika.codecs.diagnosis import likely_cause
from teltonika.codecs.findings import FoundError
from teltonika.codecs.packet_finder import Found, find_in_pieces
from teltonika.codecs.transport import Side, Transport


def cause_of(data: bytes, transport: Transport | None = None) -> str:
    """What is said of the first thing that a device's bytes are found to be, as the command line
    asks for it: with no more of the bytes than was found."""
    found = next(find_in_pieces([data], transport=transport, sender=Side.DEVICE), None)
    return "" if found is None else said_of(found)


def said_of(found: Found) -> str:
    error = found.finding
    if not isinstance(error, FoundError):
        return ""
    return likely_cause(found.data, error, found.behind)


DATA = PACKET[8:-4]
LENGTH, CRC = PACKET[4:8], PACKET[-4:]
DATAGRAM = sample("codec8-udp").data


def with_length(length: int) -> bytes:
    return bytes(4) + length.to_bytes(4) + DATA + CRC


def with_crc(crc: bytes) -> bytes:
    return PACKET[:-4] + crc


RECORD16 = AVL_CODECS.by_name("16").decode_data(sample("codec16").data[8:-4]).records

CAUSES = {
    "the CRC was counted": with_length(len(DATA) + 4),
    "the preamble and the length field were counted": with_length(len(DATA) + 8),
    "preamble, length field and CRC were counted": with_length(len(DATA) + 12),
    "where the length says 44: it is off by -10": with_length(len(DATA) - 10),
    "where the length says 53: it is off by -1": with_length(len(DATA) - 1),
    "where the length says 42: it is off by -12": with_length(len(DATA) - 12),
    "it has 5 bytes fewer than it says": PACKET[:-5],
    "it has 1 byte fewer than it says": PACKET[:-1],
    "and 1 of them is missing": PACKET[1:],
    "and 4 of them are missing": PACKET[4:],
    "a packet without preamble and length": DATA + CRC,
    "a data field alone": DATA,
    "its two bytes are swapped": with_crc(bytes(2) + CRC[:1:-1]),
    "low byte first": with_crc(CRC[::-1]),
    "in the first two of its four": with_crc(CRC[2:] + bytes(2)),
    "over the length field and the data": with_crc(crc16_ibm(LENGTH + DATA).to_bytes(4)),
    "over the data without number of data 2": with_crc(crc16_ibm(DATA[:-1]).to_bytes(4)),
    "over the data without the codec id": with_crc(crc16_ibm(DATA[1:]).to_bytes(4)),
    "is a CRC-16/MODBUS": with_crc(fastcrc.crc16.modbus(DATA).to_bytes(4)),
    "with the widths of codec 16 (0x10) it decodes: the codec id says 0x08": framed(
        b"\x08" + sample("codec16").data[9:-4]
    ),
    "hex was written as hex once more": PACKET.hex().encode(),
    "an IMEI without the two bytes": HANDSHAKE[2:],
    "a UDP datagram, not": DATAGRAM,
}


@pytest.mark.parametrize(("cause", "data"), CAUSES.items(), ids=list(CAUSES))
def test_what_was_done_to_a_packet_is_found(cause: str, data: bytes) -> None:
    transport = Transport.TCP if data == DATAGRAM else None
    assert cause in cause_of(data, transport)


def test_what_is_read_as_a_datagram_and_is_none_is_named() -> None:
    assert "a packet as it is sent over TCP" in cause_of(PACKET, Transport.UDP)


@pytest.mark.parametrize("at", range(23, len(DATAGRAM)))
def test_a_broken_datagram_is_not_said_to_be_one(at: int) -> None:
    broken = DATAGRAM[:at] + b"\xee" + DATAGRAM[at + 1 :]
    assert cause_of(broken) == cause_of(broken, Transport.UDP) == ""


def test_a_packet_that_is_read_as_a_datagram_is_not_said_to_be_cut() -> None:
    found = next(iter(find_in_pieces([PACKET], transport=Transport.UDP)))
    assert "cut" not in said_of(found)


def test_a_right_crc_is_not_said_to_be_wrong() -> None:
    data = next(
        data
        for n in range(1 << 16)
        if len(set(crc16_ibm(data := b"\x08\x01" + n.to_bytes(2) + b"\x01").to_bytes(2))) == 1
    )
    assert cause_of(framed(data)) == ""


def test_a_lost_byte_of_the_length_is_no_crc_over_the_length() -> None:
    packet = sample("codec12-getio-command").data
    assert packet[7] == 0x0D
    assert "CRC" not in cause_of(packet[:7] + packet[8:])


def test_a_limit_is_no_transport() -> None:
    (found,) = find_in_pieces([PACKET], 20)
    assert said_of(found) == ""


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x05", bytes(7), b"\xfe" * 40, HANDSHAKE[:-1] + b"x", framed(b"\x09\x01\x01")],
    ids=bytes.hex,
)
def test_nothing_is_guessed_where_nothing_is_likely(data: bytes) -> None:
    assert cause_of(data) == ""


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_any_cut_of_a_published_packet_gets_an_answer_or_none(sample: Sample) -> None:
    for end in range(len(sample.data)):
        cause_of(sample.data[:end])
        cause_of(sample.data[end:])


def test_a_changed_byte_is_no_other_crc() -> None:
    changed = PACKET[:20] + bytes((PACKET[20] ^ 1,)) + PACKET[21:]
    assert cause_of(changed) == ""
    assert IMEI not in cause_of(changed)
