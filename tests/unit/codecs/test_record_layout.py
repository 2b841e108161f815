"""The layout that a record has is never another's: neither of the record before nor of a packet
before, whatever its bytes are."""

import tracemalloc
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, product

import pytest
from agreement import check_agreement

from teltonika.codecs import (
    AVL_CODECS,
    AvlCodec,
    AvlPacket,
    AvlRecord,
    IoElement,
    IoElements,
    RecordError,
    decode_packet,
    encode_packet,
)
from teltonika.codecs.annotate import Form
from teltonika.codecs.framing import encode_frame
from teltonika.codecs.records import FIXED_WIDTHS

CODEC8, CODEC8E, CODEC16 = (AVL_CODECS.by_name(name) for name in ("8", "8E", "16"))

all_codecs = pytest.mark.parametrize("codec", list(AVL_CODECS), ids=lambda codec: codec.name)


def record(
    codec: AvlCodec, counts: Sequence[int], variable: Sequence[bytes] = (), value: int = 1
) -> AvlRecord:
    """A record with so many elements of each width, every one with the same id and value."""
    fixed = chain.from_iterable(
        [IoElement(value, value, width)] * count
        for width, count in zip(FIXED_WIDTHS, counts, strict=True)
    )
    io = IoElements.of([*fixed, *(IoElement.variable(value, content) for content in variable)])
    return AvlRecord(
        *(1_760_000_000_000, 1, 253_030_400, 547_147_300, 147, 77, 7, 51),
        generation_type=5 if codec is CODEC16 else None,
        io=io,
    )


def decoded(packet: bytes) -> AvlPacket:
    packet_ = decode_packet(packet)
    assert isinstance(packet_, AvlPacket)
    return packet_


@all_codecs
@pytest.mark.parametrize(
    "layouts",
    [
        [(5, 4, 2, 1), (6, 4, 2, 1)],
        [(5, 4, 2, 1), (5, 3, 4, 0), (0, 0, 0, 12)],  # as many elements in all
        [(0, 0, 0, 0), (1, 0, 0, 0), (0, 0, 0, 1)],
        [(1, 1, 1, 1), (100, 40, 2, 1), (1, 1, 1, 1)],  # over what is kept
        [(0, 0, 0, 1), (0, 0, 1, 0), (0, 1, 0, 0), (1, 0, 0, 0)],
    ],
    ids=str,
)
def test_records_of_several_layouts_stand_in_one_packet_in_turn(
    codec: AvlCodec, layouts: list[tuple[int, int, int, int]]
) -> None:
    records = [record(codec, layouts[number % len(layouts)]) for number in range(12)]
    packet = encode_packet(codec, records)
    assert decoded(packet).records == tuple(records)
    assert b"".join(decoded(packet).encoded) == packet[10:-5]
    assert check_agreement(packet, Form.PACKET).fault is None


@all_codecs
@pytest.mark.parametrize("value", [0, 1, 2, 3])
def test_bytes_that_look_like_the_counts_of_the_record_before_are_no_counts(
    codec: AvlCodec, value: int
) -> None:
    """Three elements in any groups, whose ids and values are what the counts are."""
    layouts = [counts for counts in product(range(4), repeat=4) if sum(counts) == 3]
    for before, after in product(layouts, repeat=2):
        records = (record(codec, before), record(codec, after, value=value))
        assert decoded(encode_packet(codec, records)).records == records


def test_variable_elements_come_and_go_between_records_alike() -> None:
    contents: list[tuple[bytes, ...]] = [(), (b"abc",), (b"",), (b"", b"x" * 300), (), (b"abcd",)]
    records = tuple(record(CODEC8E, (2, 1, 0, 1), content) for content in contents * 2)
    packet = encode_packet(CODEC8E, records)
    assert decoded(packet).records == records
    assert b"".join(decoded(packet).encoded) == packet[10:-5]


def test_a_variable_element_counts_as_a_fixed_one_does_in_the_number_of_elements() -> None:
    """Both records say 3 elements."""
    records = (record(CODEC8E, (2, 0, 0, 1)), record(CODEC8E, (2, 0, 0, 0), [b"abc"])) * 2
    assert decoded(encode_packet(CODEC8E, records)).records == records


def test_300_elements_are_told_from_44_though_the_low_bytes_are_the_same() -> None:
    records = (record(CODEC8E, (44, 0, 0, 0)), record(CODEC8E, (300, 0, 0, 0))) * 2
    assert decoded(encode_packet(CODEC8E, records)).records == records


@all_codecs
def test_a_packet_cut_off_in_its_last_record_is_truncated_there(codec: AvlCodec) -> None:
    variable = [b"abcd"] if codec is CODEC8E else []
    whole = codec.encode_data([record(codec, (2, 1, 1, 1), variable)] * 3)
    codec.decode_data(whole)  # the layout is known
    last = 2 + (len(whole) - 3) * 2 // 3
    for end in range(last, len(whole) - 1):
        cut = whole[:end] + whole[-1:]
        with pytest.raises(RecordError, match="records' bytes end at") as caught:
            codec.decode_data(cut, offset=8)
        assert (caught.value.code, caught.value.offset) == ("truncated", 8 + end)
        assert check_agreement(encode_frame(cut), Form.PACKET).fault is not None


@all_codecs
def test_any_changed_byte_behind_a_record_alike_reads_as_the_annotated_reading_has_it(
    codec: AvlCodec,
) -> None:
    variable = [b"ab"] if codec is CODEC8E else []
    whole = codec.encode_data([record(codec, (2, 1, 0, 1), variable)] * 2)
    for at in range(len(whole) // 2, len(whole)):
        for change in (1, 2, 3, 0x80, 0xFF):
            codec.decode_data(whole)  # the layout is known
            changed = bytearray(whole)
            changed[at] ^= change
            check_agreement(encode_frame(bytes(changed)), Form.PACKET)


@all_codecs
def test_a_wrong_number_of_elements_is_told_where_the_layout_is_known(codec: AvlCodec) -> None:
    data = bytearray(codec.encode_data([record(codec, (2, 1, 1, 1))] * 2))
    codec.decode_data(bytes(data))
    size = (len(data) - 3) // 2
    at = 2 + size + {"8": 25, "8E": 27, "16": 27}[codec.name]
    assert data[at] == 5
    data[at] = 6
    with pytest.raises(RecordError, match="it says 6, the groups hold 5") as caught:
        codec.decode_data(bytes(data), offset=8)
    assert caught.value.code == "io_count_mismatch"
    assert caught.value.offset == 8 + at - (codec is CODEC8E)


def test_what_is_cut_off_is_told_before_what_is_miscounted() -> None:
    data = bytearray(CODEC8E.encode_data([record(CODEC8E, (1, 0, 0, 0), [b"abcdef"])]))
    data[2 + 27] = 9  # for 2
    with pytest.raises(RecordError, match="it says 9, the groups hold 2"):
        CODEC8E.decode_data(bytes(data))
    with pytest.raises(RecordError, match="inside the 6 bytes of IO element 1") as caught:
        CODEC8E.decode_data(bytes(data[:-3] + data[-1:]))
    assert caught.value.code == "truncated"


def test_threads_that_decode_other_layouts_do_not_disturb_one_another() -> None:
    packets = []
    for counts in ((3, 0, 0, 1), (2, 1, 1, 0), (0, 0, 0, 4), (4, 0, 0, 0)):  # 4 elements each
        records = (record(CODEC8, counts),) * 20
        packets.append((encode_packet(CODEC8, records), records))

    def decode_often(packet: bytes, records: tuple[AvlRecord, ...]) -> bool:
        return all(decoded(packet).records == records for _ in range(300))

    with ThreadPoolExecutor(len(packets)) as threads:
        assert all(threads.map(decode_often, *zip(*packets, strict=True)))


def test_a_device_that_makes_up_counts_does_not_fill_the_memory() -> None:
    """1,400 layouts of 120 to 128 elements: 11 MB if all were kept."""
    made_up = [counts for counts in product(range(28, 36), repeat=4) if 120 <= sum(counts) <= 128]
    codec = AvlCodec(0x8E, "8E", id_width=2, count_width=2, variable_length=True)
    packets = [CODEC8E.encode_data([record(codec, counts)]) for counts in made_up[:1400]]
    assert len(packets) == 1400
    tracemalloc.start()
    try:
        for packet in packets:
            codec.decode_data(packet)
        assert tracemalloc.get_traced_memory()[0] < 6_000_000
    finally:
        tracemalloc.stop()
