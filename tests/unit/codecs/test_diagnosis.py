"""What is said of broken bytes is what was done to them, and of whole ones nothing is said."""

import fastcrc
import pytest
from samples import HANDSHAKE, IMEI, PACKET, SAMPLES, Sample, framed, sample

from teltonika.codecs import AVL_CODECS, crc16_ibm
from teltonika.codecs.diagnosis import likely_cause

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
    assert cause in likely_cause(data)


def test_what_is_read_as_a_datagram_and_is_none_is_named() -> None:
    assert "a packet as it is sent over TCP" in likely_cause(PACKET)


@pytest.mark.parametrize(
    "data",
    [b"", b"\x00", b"\x05", bytes(7), b"\xfe" * 40, HANDSHAKE[:-1] + b"x", framed(b"\x09\x01\x01")],
    ids=bytes.hex,
)
def test_nothing_is_guessed_where_nothing_is_likely(data: bytes) -> None:
    assert likely_cause(data) == ""


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_any_cut_of_a_published_packet_gets_an_answer_or_none(sample: Sample) -> None:
    for end in range(len(sample.data)):
        likely_cause(sample.data[:end])
        likely_cause(sample.data[end:])


def test_a_changed_byte_is_no_other_crc() -> None:
    changed = PACKET[:20] + bytes((PACKET[20] ^ 1,)) + PACKET[21:]
    assert likely_cause(changed) == ""
    assert IMEI not in likely_cause(changed)
