"""Hypothesis strategies: records, packets, sessions' bytes, and ways to split them."""

import msgspec
from hypothesis import strategies as st

from teltonika.codecs import (
    AVL_CODECS,
    MESSAGE_CODECS,
    AvlCodec,
    AvlRecord,
    CommandMessage,
    IoElement,
    IoElements,
    MessageType,
    encode_message,
    encode_packet,
)

CODEC8, CODEC8E, CODEC16 = (AVL_CODECS.by_name(name) for name in ("8", "8E", "16"))


def io_elements(codec: AvlCodec) -> st.SearchStrategy[IoElements]:
    """What the codec can carry: ids that fit it, widths 1 to 8, variable ones in 8E only."""
    ids = st.integers(0, 255 if codec is CODEC8 else 65_535)
    fixed = st.sampled_from((1, 2, 4, 8)).flatmap(
        lambda width: st.builds(IoElement, ids, st.integers(0, 256**width - 1), st.just(width))
    )
    variable = st.builds(IoElement.variable, ids, st.binary(max_size=40))
    element = st.one_of(fixed, variable) if codec is CODEC8E else fixed
    return st.lists(element, max_size=12).map(IoElements.of)


def avl_records(codec: AvlCodec) -> st.SearchStrategy[AvlRecord]:
    uint16 = st.integers(0, 65_535)
    int32 = st.integers(-(2**31), 2**31 - 1)
    return st.builds(
        AvlRecord,
        timestamp_ms=st.integers(0, 2**64 - 1),
        priority=st.integers(0, 255),
        longitude_e7=int32,
        latitude_e7=int32,
        altitude=st.integers(-(2**15), 2**15 - 1),
        angle=uint16,
        satellites=st.integers(0, 255),
        speed=uint16,
        event_io_id=st.integers(0, 255 if codec is CODEC8 else 65_535),
        generation_type=st.integers(0, 255) if codec is CODEC16 else st.none(),
        io=io_elements(codec),
    )


avl_codecs = st.sampled_from((CODEC8, CODEC8E, CODEC16))


@st.composite
def codecs_and_records(draw: st.DrawFn) -> tuple[AvlCodec, list[AvlRecord]]:
    codec = draw(avl_codecs)
    return codec, draw(st.lists(avl_records(codec), max_size=4))


CODEC12, CODEC13, CODEC14, CODEC15 = MESSAGE_CODECS
_IMEIS = st.from_regex(r"[0-9]{15}", fullmatch=True, alphabet=st.characters(codec="ascii"))

messages = st.one_of(
    st.builds(
        CommandMessage,
        st.just(CODEC12.codec_id),
        st.sampled_from((MessageType.COMMAND, MessageType.RESPONSE)),
        st.binary(max_size=200),
    ),
    st.builds(
        CommandMessage,
        st.just(CODEC14.codec_id),
        st.sampled_from((MessageType.COMMAND, MessageType.RESPONSE, MessageType.NACK)),
        st.binary(max_size=200),
        _IMEIS,
    ),
    st.builds(
        CommandMessage,
        st.just(CODEC13.codec_id),
        st.just(MessageType.RESPONSE),
        st.binary(max_size=200),
        timestamp_s=st.integers(0, 2**32 - 1),
    ),
    st.builds(
        CommandMessage,
        st.just(CODEC15.codec_id),
        st.just(MessageType.SERIAL),
        st.binary(max_size=200),
        _IMEIS,
        st.integers(0, 2**32 - 1),
    ),
)

packets = st.one_of(
    codecs_and_records().map(lambda drawn: encode_packet(*drawn)), messages.map(encode_message)
)
"""Whole TCP packets."""


@st.composite
def _records_of_few_layouts(draw: st.DrawFn) -> tuple[AvlCodec, list[AvlRecord]]:
    """As devices send them: the groups of a record are those of another, or nearly."""
    codec = draw(avl_codecs)
    small = st.integers(0, 3)
    few = st.builds(IoElement, small, small, st.sampled_from((1, 2, 4, 8)))
    if codec is CODEC8E:
        few |= st.builds(IoElement.variable, small, st.binary(max_size=3))
    layouts = st.lists(few, min_size=2, max_size=4).map(IoElements.of)
    kinds = draw(st.lists(layouts, min_size=1, max_size=3))
    base = draw(avl_records(codec))
    turns = draw(st.lists(st.sampled_from(kinds), min_size=2, max_size=8))
    return codec, [msgspec.structs.replace(base, io=io) for io in turns]


packets_of_few_layouts = _records_of_few_layouts().map(lambda drawn: encode_packet(*drawn))
"""Whole TCP packets whose records have few layouts, in turn."""


@st.composite
def corrupted(draw: st.DrawFn, packets: st.SearchStrategy[bytes]) -> bytes:
    """A packet with a byte changed, taken out, put in, or its end cut off."""
    packet = bytearray(draw(packets))
    place = draw(st.integers(0, len(packet) - 1))
    match draw(st.sampled_from(("change", "take", "put", "cut"))):
        case "change":
            packet[place] ^= draw(st.integers(1, 255))
        case "take":
            del packet[place]
        case "put":
            packet.insert(place, draw(st.integers(0, 255)))
        case _:
            del packet[place:]
    return bytes(packet)


@st.composite
def splits(draw: st.DrawFn, data: bytes) -> list[bytes]:
    """The same bytes in any pieces, none of them empty."""
    places = sorted(draw(st.sets(st.integers(1, max(1, len(data) - 1)), max_size=20)))
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if b > a]
