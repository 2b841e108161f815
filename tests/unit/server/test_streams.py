"""What is written to Redis for a packet: CONTRACT, section 1."""

import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from payloads import expected_payload, fields_of
from samples import IMEI, Sample, of_kind
from strategies import codecs_and_records

from teltonika.codecs import (
    AVL_CODECS,
    AvlCodec,
    AvlPacket,
    AvlRecord,
    IoElement,
    IoElements,
    decode_packet,
    encode_packet,
)
from teltonika.codecs.timestamps import format_timestamp
from teltonika.server.dedupe import packet_digests
from teltonika.server.streams import attributes, packet_arguments

CONNECTION = b"8 bytes."


def record_with(*elements: IoElement) -> AvlRecord:
    return AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=IoElements.of(elements))


def arguments_of(codec: str, *records: AvlRecord, maxlen: int = 0) -> tuple[Any, ...]:
    return packet_arguments(IMEI, packet_of(codec, *records), maxlen, CONNECTION)[0]


def packet_of(codec: str, *records: AvlRecord) -> AvlPacket:
    """As it comes from a device."""
    packet = decode_packet(encode_packet(AVL_CODECS.by_name(codec), records))
    assert isinstance(packet, AvlPacket)
    return packet


def payload_of(codec: str, record: AvlRecord) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(arguments_of(codec, record)[-1])
    return payload


def json_of(*elements: IoElement) -> dict[str, Any]:
    """The attributes as a reader of the stream has them."""
    values: dict[str, Any] = json.loads(msgspec.json.encode(attributes(record_with(*elements))))
    return values


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_value_of_up_to_four_bytes_is_a_number(width: int) -> None:
    highest = 256**width - 1
    assert json_of(IoElement(1, 0, width), IoElement(2, highest, width)) == {"1": 0, "2": highest}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (0, 0),
        (2**53 - 1, 9_007_199_254_740_991),
        (2**53, {"__bigint": "9007199254740992"}),
        (2**64 - 1, {"__bigint": "18446744073709551615"}),
    ],
)
def test_an_eight_byte_value_is_a_number_as_far_as_javascript_keeps_it(
    value: int, written: Any
) -> None:
    assert json_of(IoElement(1, value, 8)) == {"1": written}


@pytest.mark.parametrize(
    ("value", "base64"),
    [(b"", ""), (b"\x00", "AA=="), (b"\xfb\xff\xfe", "+//+"), (bytes(65_535), "A" * 87_380)],
)
def test_a_variable_length_value_is_base64(value: bytes, base64: str) -> None:
    assert json_of(IoElement.variable(1, value)) == {"1": {"__buffer_b64": base64}}


def test_all_widths_stand_beside_each_other() -> None:
    elements = (
        *(IoElement(1, 1, 1), IoElement(2, 2, 2), IoElement(4, 4, 4)),
        *(IoElement(8, 2**64 - 1, 8), IoElement(9, 9, 8), IoElement.variable(65_535, b"x")),
    )
    assert json_of(*elements) == {
        "1": 1,
        "2": 2,
        "4": 4,
        "8": {"__bigint": "18446744073709551615"},
        "9": 9,
        "65535": {"__buffer_b64": "eA=="},
    }


BIG, BIG_IN_JSON = 2**60, {"__bigint": "1152921504606846976"}


@pytest.mark.parametrize(
    ("elements", "last"),
    [
        ([IoElement(7, 1, 1), IoElement(7, 2, 1)], 2),
        ([IoElement(7, 1, 1), IoElement(7, BIG, 8)], BIG_IN_JSON),
        ([IoElement(7, BIG, 8), IoElement(7, 2, 8)], 2),
        ([IoElement(7, 2, 8), IoElement(7, BIG, 8)], BIG_IN_JSON),
        ([IoElement(7, BIG, 8), IoElement.variable(7, b"x")], {"__buffer_b64": "eA=="}),
        ([IoElement(7, 1, 1), IoElement.variable(7, b"x")], {"__buffer_b64": "eA=="}),
        (
            [IoElement.variable(7, b"a"), IoElement.variable(7, b"x")],
            {"__buffer_b64": "eA=="},
        ),
    ],
)
def test_of_an_id_that_stands_twice_the_last_value_on_the_wire_wins(
    elements: list[IoElement], last: Any
) -> None:
    assert json_of(*elements) == {"7": last}


def test_an_eight_byte_value_behind_which_a_narrow_one_came_is_that_narrow_one() -> None:
    """The wire's groups rise in width, so only a record that is put together can say this."""
    narrow_last = IoElements((0, 0, 0, 2), (7, BIG, 7, 255))
    assert attributes(AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=narrow_last)) == {7: 255}


def test_values_that_were_replaced_are_counted_over_the_whole_packet() -> None:
    thrice = record_with(IoElement(7, 1, 1), IoElement(7, 2, 2), IoElement(7, BIG, 8))
    once = record_with(IoElement(7, 1, 1), IoElement(8, 1, 1))
    packet = packet_of("8E", thrice, once, thrice)
    assert packet_arguments(IMEI, packet, 0, CONNECTION)[1] == 4


def test_a_payload_is_exactly_the_contracts() -> None:
    record = AvlRecord(
        timestamp_ms=1_560_161_086_007,
        priority=1,
        longitude_e7=-252_795_766,
        latitude_e7=547_146_368,
        altitude=-4,
        angle=214,
        satellites=12,
        speed=5,
        event_io_id=10_009,
        io=IoElements.of([IoElement(21, 3, 1), IoElement.variable(10_009, b"\x01\x02")]),
    )
    assert payload_of("8E", record) == {
        "device_id": IMEI,
        "timestamp": "2019-06-10T10:04:46.007Z",
        "latitude": 54.7146368,
        "longitude": -25.2795766,
        "altitude": -4,
        "angle": 214,
        "speed": 5,
        "satellites": 12,
        "priority": 1,
        "event_io_id": 10_009,
        "attributes": {"21": 3, "10009": {"__buffer_b64": "AQI="}},
    }


def test_a_record_without_io_elements_has_empty_attributes() -> None:
    assert payload_of("8", record_with())["attributes"] == {}


@pytest.mark.parametrize("generation_type", [0, 7, 255])
def test_codec_16_says_its_generation_type(generation_type: int) -> None:
    record = AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, generation_type=generation_type)
    assert payload_of("16", record)["generation_type"] == generation_type


@pytest.mark.parametrize("codec", ["8", "8E"])
def test_other_codecs_have_no_generation_type(codec: str) -> None:
    assert "generation_type" not in payload_of(codec, record_with())


@pytest.mark.parametrize("codec", ["8", "8E", "16"])
def test_the_arguments_are_the_packet_s_and_two_for_each_record(codec: str) -> None:
    reason = 1 if codec == "16" else None
    first, second = (
        AvlRecord(ms, 0, 0, 0, 0, 0, 0, 0, generation_type=reason) for ms in (1, 1_560_161_086_000)
    )
    arguments = arguments_of(codec, first, second, maxlen=500)
    digests = packet_digests(packet_of(codec, first, second))
    assert arguments[:6] == (500, IMEI, codec, digests, 32, CONNECTION)
    timestamps, payloads = arguments[6::2], [json.loads(payload) for payload in arguments[7::2]]
    assert timestamps == ("1970-01-01T00:00:00.001Z", "2019-06-10T10:04:46.000Z")
    assert [payload["timestamp"] for payload in payloads] == list(timestamps)


def test_a_packet_without_records_has_none_to_write() -> None:
    assert arguments_of("8") == (0, IMEI, "8", b"", 32, CONNECTION)


@pytest.mark.parametrize("sample", of_kind("avl"), ids=str)
def test_published_packets_become_their_published_values(sample: Sample) -> None:
    packet = packet_of(sample.expected["codec"], *sample.records)
    arguments, repeated = packet_arguments(IMEI, packet, 0, CONNECTION)
    written = [json.loads(payload) for payload in arguments[7::2]]  # type: ignore[arg-type]
    assert written == [
        expected_payload(IMEI, record | {"timestamp": format_timestamp(record["timestamp_ms"])})
        for record in sample.expected["records"]
    ]
    assert repeated == 0


@given(codecs_and_records())
def test_any_record_becomes_what_a_second_reading_of_the_contract_says(
    drawn: tuple[AvlCodec, list[AvlRecord]],
) -> None:
    codec, records = drawn
    written = [json.loads(payload) for payload in arguments_of(codec.name, *records)[7::2]]
    assert written == [
        expected_payload(IMEI, fields_of(record, format_timestamp(record.timestamp_ms)))
        for record in records
    ]
