"""What stands in bytes, whichever end of a session they come from."""

import json
from typing import Any

import msgspec
import pytest
from samples import Sample, framed, of_kind

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    IoElement,
    IoElements,
    encode_imei,
    encode_packet,
)
from teltonika.codecs.annotated_findings import annotate_found
from teltonika.codecs.finding_text import summarise
from teltonika.codecs.findings import FoundError
from teltonika.codecs.packet_finder import find_in_pieces, find_packets
from teltonika.codecs.transport import Transport

IMEI = "356307042441013"
DEFECTIVE = [*of_kind("error"), *of_kind("error", transport="udp")]
RECORD = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0)
PACKET = encode_packet(AVL_CODECS.by_name("8"), [RECORD])


def found(data: bytes) -> list[dict[str, Any]]:
    """The findings as the JSON of the command line."""
    return [json.loads(msgspec.json.encode(finding)) for finding in find_packets(data)]


def kinds(data: bytes) -> list[tuple[str, int, int]]:
    return [(f["kind"], f["offset"], f["length"]) for f in found(data)]


@pytest.mark.parametrize("sample", of_kind("avl"), ids=str)
def test_every_documented_avl_packet_is_found_whole(sample: Sample) -> None:
    (finding,) = found(sample.data)
    assert finding["kind"] == "avl"
    assert finding["transport"] == "tcp"
    assert (finding["offset"], finding["length"]) == (0, len(sample.data))
    assert finding["codec"] == sample.expected["codec"]
    assert finding["codec_id"] == sample.data[8]
    for record in finding["records"]:
        assert record.pop("timestamp").endswith("Z")
    assert finding["records"] == sample.expected["records"]


@pytest.mark.parametrize("sample", DEFECTIVE, ids=str)
def test_every_defective_sample_is_an_error_for_its_defect(sample: Sample) -> None:
    (finding,) = found(sample.data)
    assert finding["kind"] == "error"
    assert 0 <= finding["offset"] <= len(sample.data)


@pytest.mark.parametrize("sample", of_kind("avl", transport="udp"), ids=str)
def test_a_datagram_and_its_answer_are_found_with_their_ids(sample: Sample) -> None:
    answer = bytes.fromhex(sample.expected["ack"])
    avl, ack, ping = found(sample.data + answer + b"\xff")
    assert (avl["kind"], avl["transport"], avl["length"]) == ("avl", "udp", len(sample.data))
    for record in avl["records"]:
        record.pop("timestamp")
    for field in ("codec", "packet_id", "avl_packet_id", "imei", "records"):
        assert avl[field] == sample.expected[field]
    assert ack == {
        "kind": "ack",
        "transport": "udp",
        "offset": len(sample.data),
        "length": 7,
        "accepted": 1,
    }
    assert ping["offset"] == len(sample.data) + 7


@pytest.mark.parametrize("declared", [0, 1, 4, 6, 7, 23])  # 5 is what an answer says
def test_a_datagram_that_declares_less_than_its_head_ends_with_the_input(declared: int) -> None:
    data = declared.to_bytes(2) + bytes.fromhex("cafe0100000f33")
    (error,) = found(data)
    assert (error["offset"], error["length"], error["transport"]) == (0, len(data), "udp")


@pytest.mark.parametrize("sample", of_kind("command", "response", "nack"), ids=str)
def test_a_message_is_found_with_text_and_bytes(sample: Sample) -> None:
    first, second = found(sample.data + b"\xff")
    expected = sample.expected
    imei = {"imei": expected["imei"]} if "imei" in expected else {}
    times = {176276256: "1975-08-03T05:37:36.000Z", 1699440036: "2023-11-08T10:40:36.000Z"}
    sent_s = expected.get("timestamp_s")
    timestamp = {} if sent_s is None else {"timestamp": times[sent_s]}
    assert first == imei | timestamp | {
        "kind": expected["kind"],
        "offset": 0,
        "length": len(sample.data),
        "transport": "tcp",
        "codec": expected["codec"],
        "text": expected["text"],
        "hex": expected["text"].encode().hex(),
    }
    assert (second["kind"], second["offset"]) == ("ping", len(sample.data))


def test_both_ends_of_a_session_in_a_row() -> None:
    data = encode_imei(IMEI) + b"\x01" + PACKET + b"\xff" + PACKET + b"\x00\x00\x00\x01"
    size = len(PACKET)
    assert kinds(data) == [
        ("imei", 0, 17),
        ("ack", 17, 1),
        ("avl", 18, size),
        ("ping", 18 + size, 1),
        ("avl", 19 + size, size),
        ("ack", 19 + 2 * size, 4),
    ]


@pytest.mark.parametrize("size", [1, 7, 70_000, 1_000_000])
@pytest.mark.parametrize("transport", [None, Transport.TCP])
def test_a_run_of_pings_is_one_finding(size: int, transport: Transport | None) -> None:
    run = b"\xff" * 200_000
    stream = encode_imei(IMEI) + run + PACKET + run
    pieces = (stream[at : at + size] for at in range(0, len(stream), size))
    found_there = [each.finding for each in find_in_pieces(pieces, transport=transport)]
    assert [
        (type(each).__struct_config__.tag, each.offset, each.length) for each in found_there
    ] == [
        ("imei", 0, 17),
        ("ping", 17, 200_000),
        ("avl", 200_017, len(PACKET)),
        ("ping", 200_017 + len(PACKET), 200_000),
    ]
    assert summarise(found_there[1]) == "200000 pings"


def test_the_last_ping_of_a_run_may_begin_a_datagram() -> None:
    data_field = bytes(0xFF10 - 21)
    datagram = (0xFF10).to_bytes(2) + b"\xff\xff\x01\x07" + encode_imei(IMEI) + data_field
    kinds_there = kinds(b"\xff" * 5 + datagram)
    assert kinds_there[0] == ("ping", 0, 5)
    assert kinds_there[1][0] == "error"
    assert kinds_there[1][1] >= 5


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("01", {"imei_accepted": True}),
        ("00", {"imei_accepted": False}),
        ("00000001", {"accepted": 1}),
        ("000000ff", {"accepted": 255}),
        ("00000000", {"accepted": 0}),
    ],
)
def test_what_a_server_answers(text: str, expected: dict[str, Any]) -> None:
    (finding,) = found(bytes.fromhex(text))
    length = len(text) // 2
    common = {"kind": "ack", "offset": 0, "length": length, "transport": "tcp"}
    assert finding == common | expected


def test_a_servers_side_alone() -> None:
    data = bytes.fromhex("01 00000001 00000002")
    assert [f.get("accepted", f.get("imei_accepted")) for f in found(data)] == [True, 1, 2]


@pytest.mark.parametrize("answer", ["01", "00"])
def test_sessions_in_a_row_are_read_whatever_was_answered(answer: str) -> None:
    again = encode_imei(IMEI) + bytes.fromhex(answer)
    expected = [("imei", 0, 17), ("ack", 17, 1), ("imei", 18, 17), ("ack", 35, 1)]
    assert kinds(again + again) == expected


def test_a_ping_may_follow_the_answer_to_an_imei() -> None:
    data = encode_imei(IMEI) + b"\x01\xff" + PACKET
    assert [kind for kind, *_ in kinds(data)] == ["imei", "ack", "ping", "avl"]


def test_variable_length_values_are_hex() -> None:
    elements = [IoElement(1, 2**64 - 1, 8), IoElement.variable(385, b"\x00\xff")]
    record = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=IoElements.of(elements))
    (finding,) = found(encode_packet(AVL_CODECS.by_name("8E"), [record]))
    assert finding["records"][0]["io"] == [
        {"id": 1, "bytes": 8, "value": 2**64 - 1},
        {"id": 385, "bytes": 2, "value": "00ff"},
    ]


def test_a_wrong_crc_names_both_values_and_the_rest_is_read() -> None:
    bad = bytearray(PACKET)
    bad[-1] ^= 1
    first, second = found(bytes(bad) + PACKET)
    assert first["error"] == "crc_mismatch"
    assert (first["offset"], first["length"]) == (len(PACKET) - 4, 4)
    good, wrong = int.from_bytes(PACKET[-2:]), int.from_bytes(bad[-2:])
    assert f"0x{wrong:04X}" in first["message"]
    assert f"0x{good:04X}" in first["message"]
    assert second["kind"] == "avl"


def test_an_error_inside_a_packet_counts_from_the_inputs_start() -> None:
    packet = framed(PACKET[8:-5] + b"\x02")
    _, error, after = found(encode_imei(IMEI) + packet + PACKET)
    assert error["error"] == "record_count_mismatch"
    assert error["offset"] == 17 + len(packet) - 5
    assert after["offset"] == 17 + len(packet)


@pytest.mark.parametrize(
    ("data", "error", "offset"),
    [
        (b"\x47\x45\x54", "unrecognised", 0),
        (PACKET + b"\x47", "unrecognised", len(PACKET)),
        (PACKET[:-1], "truncated", len(PACKET) - 1),
        (PACKET[:6], "truncated", 6),
        (PACKET[:3], "truncated", 3),
        (encode_imei(IMEI)[:9], "truncated", 9),
        (b"\x00\x0f35630704244101X", "imei_digits", 16),
        (bytes(4) + b"\xff\xff\xff\xff", "packet_too_large", 4),
        (bytes(12), "bad_length", 4),
        (b"\x00\x00\x01\x00" + PACKET[4:], "bad_preamble", 2),
    ],
)
def test_where_reading_ends_for_good(data: bytes, error: str, offset: int) -> None:
    finding = found(data)[-1]
    assert (finding["kind"], finding["error"], finding["offset"]) == ("error", error, offset)
    assert finding["offset"] + finding["length"] == len(data)


@pytest.mark.parametrize("noise", ["00", "0000000000", "00000000000000"])
def test_a_lenient_reading_never_says_a_length_below_zero(noise: str) -> None:
    data = bytes.fromhex(noise) + PACKET
    error, packet = (one.finding for one in find_in_pieces([data], lenient=True))
    assert isinstance(error, FoundError)
    assert error.length >= 0
    assert error.offset + error.length == packet.offset
    assert packet.length == len(PACKET)


@pytest.mark.parametrize(("begin", "name"), [(b"", "pings"), (b"\x80", "not read")])
def test_the_fields_of_more_bytes_than_are_kept_reach_to_their_end(begin: bytes, name: str) -> None:
    data = begin + b"\xff" * 1000
    (found,) = find_in_pieces((data,), 50, transport=Transport.TCP)
    assert len(found.data) < len(data)
    (field,) = annotate_found(found).fields
    assert (field.offset, field.length, field.name) == (0, len(data), name)
