"""The byte stream cut into packets, however TCP split it."""

import tracemalloc

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    CrcFailed,
    DecodeError,
    FramingError,
    ImeiReceived,
    PingReceived,
    ProtocolViolation,
    decode_packet,
    encode_imei,
    encode_packet,
)
from teltonika.codecs.events import FrameReceived
from teltonika.codecs.framing import Framer, decode_data, encode_frame

IMEI = "356307042441013"
HANDSHAKE = encode_imei(IMEI)
PACKET = encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)])
FRAME = FrameReceived(PACKET[8:-4])


def open_framer(max_packet_size: int = 65_536) -> Framer:
    framer = Framer(max_packet_size)
    assert framer.receive_data(HANDSHAKE) == [ImeiReceived(IMEI, luhn_valid=True)]
    return framer


def test_bytes_one_at_a_time_and_packets_coalesced() -> None:
    framer = Framer()
    events = [framer.receive_data(bytes((byte,))) for byte in HANDSHAKE + PACKET]
    assert [len(found) for found in events].count(1) == 2
    assert events[16] == [ImeiReceived(IMEI, luhn_valid=True)]
    assert events[-1] == [FRAME]
    assert framer.receive_data(PACKET * 3) == [FRAME] * 3


def test_a_run_of_pings_is_one_event_and_no_bytes_of_a_packet() -> None:
    framer = open_framer()
    found = framer.receive_data(b"\xff" + PACKET + b"\xff\xff")
    assert found == [PingReceived(1), FRAME, PingReceived(2)]
    assert framer.receive_data(PACKET[:20]) == []
    assert framer.receive_data(PACKET[20:]) == [FRAME]


def test_a_wrong_crc_names_both_values_and_the_next_packet_follows() -> None:
    spoilt = PACKET[:-2] + bytes((PACKET[-2] ^ 0x10, PACKET[-1]))
    failed, frame = open_framer().receive_data(spoilt + PACKET)
    assert isinstance(failed, CrcFailed)
    says, gives = (int.from_bytes(packet[-4:]) for packet in (spoilt, PACKET))
    assert (failed.error.expected, failed.error.found) == (says, gives)
    assert str(failed.error) == (
        f"CRC mismatch at byte {len(PACKET) - 4}: "
        f"packet says 0x{says:04X}, data gives 0x{gives:04X}"
    )
    assert frame == FRAME


def test_the_high_bytes_of_the_crc_count() -> None:
    spoilt = PACKET[:-4] + b"\x00\x01" + PACKET[-2:]
    (failed,) = open_framer().receive_data(spoilt)
    assert isinstance(failed, CrcFailed)


@pytest.mark.parametrize("size", range(1, 5))
@pytest.mark.parametrize("place", range(4))
def test_a_broken_preamble_is_known_by_its_first_wrong_byte(place: int, size: int) -> None:
    if place >= size:
        pytest.skip("the wrong byte is not there yet")
    preamble = bytearray(4)
    preamble[place] = 0x47
    (event,) = open_framer().receive_data(bytes(preamble[:size]))
    assert isinstance(event, ProtocolViolation)
    assert (event.error.code, event.error.offset) == ("bad_preamble", place)
    assert event.error.found == 0x47


@pytest.mark.parametrize("length", [0, 1, 2])
def test_a_length_too_short_for_any_data_field_ends_the_stream(length: int) -> None:
    (event,) = open_framer().receive_data(bytes(4) + length.to_bytes(4))
    assert isinstance(event, ProtocolViolation)
    assert (event.error.code, event.error.offset) == ("bad_length", 4)


def test_a_packet_of_the_limits_size_is_taken_and_one_byte_more_is_not() -> None:
    assert open_framer(len(PACKET)).receive_data(PACKET) == [FRAME]
    (event,) = open_framer(len(PACKET) - 1).receive_data(PACKET)
    assert isinstance(event, ProtocolViolation)
    assert (event.error.code, event.error.offset) == ("packet_too_large", 4)
    assert (event.error.expected, event.error.found) == (len(PACKET) - 1, len(PACKET))


@pytest.mark.parametrize("length", [65_536 - 12, 2**32 - 1])
def test_nothing_is_reserved_for_a_declared_length(length: int) -> None:
    framer = open_framer()
    tracemalloc.start()
    try:
        framer.receive_data(bytes(4) + length.to_bytes(4))
        assert tracemalloc.get_traced_memory()[1] < 10_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("data", "code", "offset"),
    [
        (b"\x00\x10" + b"1" * 16, "imei_length", 0),
        (b"\x00\x00", "imei_length", 0),
        (b"GET / HTTP/1.1\r\n\r\n", "imei_length", 0),
        (b"\xff\xff", "imei_length", 0),
        (b"\x00\x0f35630704244101x", "imei_digits", 16),
        (b"\x00\x0f" + "٣".encode() * 7 + b"1", "imei_digits", 2),
    ],
)
def test_what_is_no_handshake_ends_the_stream(data: bytes, code: str, offset: int) -> None:
    framer = Framer()
    (event,) = framer.receive_data(data)
    assert isinstance(event, ProtocolViolation)
    assert (event.error.code, event.error.offset) == (code, offset)
    assert framer.receive_data(HANDSHAKE + PACKET) == []
    assert framer.receive_eof() == []


@pytest.mark.parametrize(
    ("sent", "offset"),
    [(HANDSHAKE[:1], 1), (HANDSHAKE[:16], 16), (HANDSHAKE + PACKET[:3], 3),
     (HANDSHAKE + PACKET[:-1], len(PACKET) - 1)],
)  # fmt: skip
def test_an_end_in_the_middle_is_a_violation(sent: bytes, offset: int) -> None:
    framer = Framer()
    framer.receive_data(sent)
    (event,) = framer.receive_eof()
    assert isinstance(event, ProtocolViolation)
    assert (event.error.code, event.error.offset) == ("truncated", offset)


@pytest.mark.parametrize("sent", [b"", HANDSHAKE, HANDSHAKE + PACKET + b"\xff"])
def test_an_end_between_things_is_none(sent: bytes) -> None:
    framer = Framer()
    framer.receive_data(sent)
    assert framer.receive_eof() == []


def test_decode_packet_takes_exactly_one_packet() -> None:
    for data, code, offset in (
        (PACKET[:-1], "truncated", 99 + len(PACKET) - 1),
        (b"", "truncated", 99),
        (PACKET + b"\x00", "trailing_bytes", 99 + len(PACKET)),
    ):
        with pytest.raises(FramingError) as caught:
            decode_packet(data, offset=99)
        assert (caught.value.code, caught.value.offset) == (code, offset)


@pytest.mark.parametrize(
    ("head", "code", "offset"),
    [
        (b"\x00\x00\x01\x00" + PACKET[4:8], "bad_preamble", 99 + 2),
        (bytes(4) + (len(PACKET) - 13).to_bytes(4), "trailing_bytes", 99 + len(PACKET) - 1),
        (bytes(4) + (len(PACKET) - 11).to_bytes(4), "truncated", 99 + len(PACKET)),
        (bytes(4) + (2**32 - 1).to_bytes(4), "packet_too_large", 99 + 4),
        (bytes(4) + (2).to_bytes(4), "bad_length", 99 + 4),
    ],
)
def test_decode_packet_refuses_a_wrong_header_though_the_crc_is_right(
    head: bytes, code: str, offset: int
) -> None:
    with pytest.raises(FramingError) as caught:
        decode_packet(head + PACKET[8:], offset=99)
    assert (caught.value.code, caught.value.offset) == (code, offset)


def test_decode_packet_takes_a_packet_of_the_limits_size_and_not_one_byte_more() -> None:
    assert decode_packet(PACKET, max_packet_size=len(PACKET)) == decode_packet(PACKET)
    with pytest.raises(FramingError, match="over the limit") as caught:
        decode_packet(PACKET, offset=99, max_packet_size=len(PACKET) - 1)
    assert (caught.value.code, caught.value.offset) == ("packet_too_large", 99 + 4)


@pytest.mark.parametrize("data", [b"\x08\x02\x02", b"\x08\x00\x00\x00", b"\x99\x01\x01"])
def test_decode_packet_counts_an_error_in_the_data_field_from_its_offset(data: bytes) -> None:
    offsets = []
    for offset in (0, 99):
        with pytest.raises(DecodeError) as caught:
            decode_packet(encode_frame(data), offset)
        offsets.append(caught.value.offset - offset)
    with pytest.raises(DecodeError) as caught:
        decode_data(data, 8)
    assert offsets == [caught.value.offset] * 2


def test_what_a_caller_did_not_want_at_once_comes_with_later_calls() -> None:
    framer = open_framer()
    assert framer.receive_data(PACKET * 5 + b"\xff" + PACKET[:20], 2) == [FRAME] * 2
    assert framer.has_more
    assert framer.receive_data(b"", 3) == [FRAME] * 3
    assert framer.has_more
    assert framer.receive_data(PACKET[20:], 2) == [PingReceived(), FRAME]
    assert not framer.has_more
    assert framer.receive_data(b"") == framer.receive_eof() == []
