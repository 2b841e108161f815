"""What codecs 8, 8 Extended and 16 share: the limits, and what is refused."""

from typing import Any

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    EncodeError,
    IoElement,
    IoElements,
    RecordError,
    decode_packet,
    encode_packet,
)

CODEC8, CODEC8E, CODEC16 = (AVL_CODECS.by_name(name) for name in ("8", "8E", "16"))


def record(**fields: Any) -> AvlRecord:
    values: dict[str, Any] = {
        "timestamp_ms": 1_560_161_086_000,
        "priority": 1,
        "longitude_e7": 253_030_400,
        "latitude_e7": 547_147_300,
        "altitude": 147,
        "angle": 77,
        "satellites": 7,
        "speed": 51,
    }
    return AvlRecord(**values | fields)


def io(*elements: IoElement) -> IoElements:
    return IoElements.of(elements)


@pytest.mark.parametrize("codec", list(AVL_CODECS), ids=lambda codec: codec.name)
@pytest.mark.parametrize("count", [0, 1, 255])
def test_a_packet_holds_0_to_255_records(codec: Any, count: int) -> None:
    reason = 7 if codec is CODEC16 else None
    records = [record(speed=n, generation_type=reason) for n in range(count)]
    assert list(decode_packet(encode_packet(codec, records)).records) == records


def test_values_keep_the_width_they_came_in() -> None:
    elements = [IoElement(9, 1, width) for width in (1, 2, 4, 8)]
    elements.append(IoElement.variable(9, b"\x01"))
    (decoded,) = decode_packet(encode_packet(CODEC8E, [record(io=io(*elements))])).records
    assert list(decoded.io) == elements
    assert [element.is_variable for element in decoded.io] == [False] * 4 + [True]


@pytest.mark.parametrize("width", [1, 2, 4, 8])
def test_values_are_unsigned_up_to_their_width(width: int) -> None:
    largest = IoElement(255, 256**width - 1, width)
    (decoded,) = decode_packet(encode_packet(CODEC8, [record(io=io(largest))])).records
    assert list(decoded.io) == [largest]


def test_positions_are_integers_with_degrees_beside_them() -> None:
    south_west = record(longitude_e7=-1_800_000_000, latitude_e7=-899_999_999)
    (decoded,) = decode_packet(encode_packet(CODEC8, [south_west])).records
    assert (decoded.longitude, decoded.latitude) == (-180.0, -89.9999999)


def test_an_event_id_need_not_be_among_the_elements_and_an_unknown_priority_is_kept() -> None:
    odd = record(event_io_id=200, priority=9, io=io(IoElement(1, 1, 1)))
    assert decode_packet(encode_packet(CODEC8, [odd])).records == (odd,)


def test_300_elements_fit_8_extended_and_no_other() -> None:
    elements = io(*(IoElement(number, number % 256, 1) for number in range(300)))
    (decoded,) = decode_packet(encode_packet(CODEC8E, [record(io=elements)])).records
    assert decoded.io == elements
    with pytest.raises(EncodeError, match="io is 300; codec 16 holds 0 to 255"):
        encode_packet(CODEC16, [record(io=elements, generation_type=0)])


def test_a_truncated_record_names_the_byte_where_it_ends() -> None:
    data = CODEC8E.encode_data([record(io=io(IoElement.variable(1, b"abcdef")))])
    for end in range(3, len(data) - 1):
        cut = data[:end] + b"\x01"
        with pytest.raises(RecordError, match="records' bytes end at") as caught:
            CODEC8E.decode_data(cut, offset=8)
        assert caught.value.code == "truncated"
        assert caught.value.offset == 8 + end


@pytest.mark.parametrize("codec", list(AVL_CODECS), ids=lambda codec: codec.name)
def test_the_total_must_be_the_sum_of_the_groups(codec: Any) -> None:
    reason = 0 if codec is CODEC16 else None
    data = bytearray(codec.encode_data([record(io=io(IoElement(1, 1, 1)), generation_type=reason)]))
    place = {"8": 2 + 25, "8E": 2 + 27, "16": 2 + 27}[codec.name]
    assert data[place] == 1
    data[place] = 2
    start_of_field = place - (codec is CODEC8E)
    with pytest.raises(RecordError, match="it says 2, the groups hold 1") as caught:
        codec.decode_data(bytes(data), offset=8)
    assert (caught.value.code, caught.value.offset) == ("io_count_mismatch", 8 + start_of_field)
    assert (caught.value.expected, caught.value.found) == (2, 1)


def test_both_numbers_of_data_must_agree() -> None:
    data = CODEC8.encode_data([record()])[:-1] + b"\x02"
    with pytest.raises(RecordError, match="number of data 1 says 1, this one 2") as caught:
        CODEC8.decode_data(data, offset=8)
    assert caught.value.code == "record_count_mismatch"
    assert caught.value.offset == 8 + len(data) - 1
    assert (caught.value.expected, caught.value.found) == (1, 2)


def test_bytes_behind_the_last_record_are_an_error() -> None:
    data = CODEC8.encode_data([record()])
    with pytest.raises(RecordError, match="3 bytes too many") as caught:
        CODEC8.decode_data(data[:-1] + b"\x00\x00\x00" + data[-1:], offset=8)
    assert (caught.value.code, caught.value.offset) == ("trailing_bytes", 8 + len(data) - 1)


def test_counts_that_overflow_the_packet_allocate_nothing() -> None:
    import tracemalloc

    head = CODEC8E.encode_data([record()])[: 2 + 26]
    data = head + b"\xff\xff" * 3 + b"\x01"
    tracemalloc.start()
    try:
        with pytest.raises(RecordError):
            CODEC8E.decode_data(data)
        assert tracemalloc.get_traced_memory()[1] < 20_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("codec", "fields", "field", "message"),
    [
        (CODEC8, {"timestamp_ms": -1}, "timestamp_ms", "is -1"),
        (CODEC8, {"timestamp_ms": 2**64}, "timestamp_ms", "0 to 18446744073709551615"),
        (CODEC8, {"longitude_e7": 2**31}, "longitude_e7", "-2147483648 to 2147483647"),
        (CODEC8, {"altitude": 2**15}, "altitude", "-32768 to 32767"),
        (CODEC8, {"angle": 65_536}, "angle", "0 to 65535"),
        (CODEC8, {"satellites": 256}, "satellites", "0 to 255"),
        (CODEC8, {"event_io_id": 256}, "event_io_id", "codec 8 holds 0 to 255"),
        (CODEC8E, {"event_io_id": 65_536}, "event_io_id", "0 to 65535"),
        (CODEC8, {"io": io(IoElement(256, 1, 1))}, "id of IO element 256", "0 to 255"),
        (CODEC8, {"io": io(IoElement(1, 256, 1))}, "IO element 1", "is 256"),
        (CODEC8E, {"generation_type": 1}, "generation_type", "has no generation type"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_named(
    codec: Any, fields: dict[str, Any], field: str, message: str
) -> None:
    with pytest.raises(EncodeError, match=message) as caught:
        codec.encode_data([record(**fields)])
    assert caught.value.field == field


def test_256_records_do_not_fit_a_packet() -> None:
    with pytest.raises(EncodeError, match="at most 255 records, not 256"):
        CODEC8.encode_data([record()] * 256)
