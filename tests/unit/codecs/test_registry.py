"""Codec ids and names."""

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    CODECS,
    COMMAND_CODECS,
    MESSAGE_CODECS,
    UnknownCodecError,
)


def test_ids_and_names_of_the_documentation() -> None:
    avl = {0x08: "8", 0x8E: "8E", 0x10: "16"}
    commands = {0x0C: "12", 0x0E: "14"}
    messages = commands | {0x0D: "13", 0x0F: "15"}
    assert {codec.codec_id: codec.name for codec in AVL_CODECS} == avl
    assert {codec.codec_id: codec.name for codec in COMMAND_CODECS} == commands
    assert {codec.codec_id: codec.name for codec in MESSAGE_CODECS} == messages
    assert {codec.codec_id: codec.name for codec in CODECS} == avl | messages
    assert CODECS.by_id(0x8E) is CODECS.by_name("8e")


def test_an_unknown_id_is_named_with_its_place() -> None:
    with pytest.raises(UnknownCodecError, match="byte 25: found 0x09") as caught:
        CODECS.by_id(9, 25)
    assert (caught.value.offset, caught.value.found) == (25, 9)


def test_codec_7_is_named_as_what_it_is() -> None:
    with pytest.raises(UnknownCodecError, match="found 0x07, codec 7 of GH devices"):
        CODECS.by_id(7)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'7': one of 8, 8E, 16"):
        AVL_CODECS.by_name("7")
