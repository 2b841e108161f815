"""IO elements as a sequence and by id."""

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    AvlPacket,
    AvlRecord,
    IoElement,
    IoElements,
    decode_packet,
    encode_packet,
)


def test_elements_stand_in_wire_order_whatever_order_they_came_in() -> None:
    elements = [
        IoElement.variable(5, b"abc"),
        IoElement(4, 4, 8),
        IoElement(1, 1, 1),
        IoElement(3, 3, 4),
        IoElement(2, 2, 2),
        IoElement(0, 0, 1),
    ]
    io = IoElements.of(elements)
    assert [element.id for element in io] == [1, 0, 2, 3, 4, 5]
    assert [element.width for element in io] == [1, 1, 2, 4, 8, 3]
    assert len(io) == 6
    assert io[0] == IoElement(1, 1, 1)
    assert io[-2:] == (IoElement(4, 4, 8), IoElement.variable(5, b"abc"))


def test_of_an_id_that_stands_twice_the_last_on_the_wire_wins() -> None:
    io = IoElements.of(
        [IoElement.variable(7, b"last"), IoElement(7, 1, 1), IoElement(7, 2, 2), IoElement(8, 3, 1)]
    )
    assert io.by_id() == {7: b"last", 8: 3}
    assert io.get(8) == 3
    assert io.get(9) is None


def test_equal_elements_are_equal_and_their_repr_says_what_they_are() -> None:
    io = IoElements.of([IoElement(1, 2, 1)])
    assert io == IoElements.of([IoElement(1, 2, 1)])
    assert io != IoElements.of([IoElement(1, 2, 2)])
    assert hash(io) == hash(IoElements.of([IoElement(1, 2, 1)]))
    assert repr(io) == "IoElements.of([IoElement(id=1, value=2, width=1)])"


def test_a_width_that_the_wire_does_not_have_is_refused() -> None:
    with pytest.raises(ValueError, match="IO element 1: a value is 1, 2, 4 or 8 bytes wide, not 3"):
        IoElements.of([IoElement(1, 2, 3)])


def test_pairs_that_end_with_an_id_are_refused() -> None:
    with pytest.raises(ValueError, match="the last id of the pairs has no value"):
        IoElements((2, 0, 0, 0), (1, 10, 2)).by_id()


def test_a_decoder_reads_the_numbers_of_a_record_once_somebody_asks_for_them() -> None:
    elements = [IoElement(1, 7, 1), IoElement(66, 24_079, 2), IoElement(78, 2**63, 8)]
    given = IoElements.of([*elements, IoElement.variable(385, b"beacon")])
    encoded = encode_packet(AVL_CODECS.by_name("8E"), [AvlRecord(0, 0, 0, 0, 0, 0, 0, 0, io=given)])
    packet = decode_packet(encoded)
    assert isinstance(packet, AvlPacket)
    read = packet.records[0].io
    assert read.kept == packet.encoded[0]
    assert len(read) == 4
    assert read.kept == packet.encoded[0], "counting them needs none of them"
    assert read == given
    assert hash(read) == hash(given)
    assert read.kept == given.kept == read.pairs
    assert list(read) == list(given)


def test_elements_that_differ_in_anything_are_not_equal() -> None:
    one = IoElements.of([IoElement(1, 7, 1)])
    assert one != IoElements.of([IoElement(1, 7, 2)])
    assert one != IoElements.of([IoElement(1, 8, 1)])
    assert one != IoElements.of([IoElement(1, 7, 1), IoElement.variable(2, b"")])
    assert one != ((1, 0, 0, 0), (1, 7))
