"""Codec ids and names."""

import pytest

from teltonika.codecs import (
    AVL_CODECS,
    CODECS,
    COMMAND_CODECS,
    NotDecodedYetError,
    UnknownCodecError,
)


def test_ids_and_names_of_the_documentation() -> None:
    avl = {0x08: "8", 0x8E: "8E", 0x10: "16"}
    commands = {0x0C: "12", 0x0E: "14"}
    assert {codec.codec_id: codec.name for codec in AVL_CODECS} == avl
    assert {codec.codec_id: codec.name for codec in COMMAND_CODECS} == commands
    assert {codec.codec_id: codec.name for codec in CODECS} == avl | commands
    assert CODECS.by_id(0x8E) is CODECS.by_name("8e")


def test_an_unknown_id_is_named_with_its_place() -> None:
    with pytest.raises(UnknownCodecError, match="byte 25: found 0x07") as caught:
        CODECS.by_id(7, 25)
    assert (caught.value.offset, caught.value.found) == (25, 7)


@pytest.mark.parametrize(("codec_id", "name"), [(13, "13"), (15, "15")])
def test_some_codecs_are_known_and_not_decoded_yet(codec_id: int, name: str) -> None:
    with pytest.raises(NotDecodedYetError, match=f"codec {name} "):
        CODECS.by_id(codec_id)


def test_an_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'7': one of 8, 8E, 16"):
        AVL_CODECS.by_name("7")
