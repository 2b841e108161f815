"""What is found does not hang on how the bytes come, and every byte is in what was found."""

from hypothesis import given
from hypothesis import strategies as st
from samples import HANDSHAKE, PACKET
from strategies import corrupted, packets, splits

from teltonika.codecs.findings import FoundError
from teltonika.codecs.packet_finder import find_in_pieces, find_packets
from teltonika.codecs.transport import Side, Transport

parts = st.one_of(
    packets,
    corrupted(packets),
    st.sampled_from((HANDSHAKE, b"\x01", b"\xff", b"\x00\x00\x00\x02", bytes(4), b"\xfe\xed")),
    st.binary(max_size=30),
)
streams = st.lists(parts, max_size=5).map(b"".join)
transports = st.sampled_from((None, *Transport))
senders = st.sampled_from((None, *Side))
SMALL = 100
"""A largest packet that some are larger than, and that a stream has several of."""


@given(st.data(), streams, transports, senders, st.booleans(), st.sampled_from((SMALL, 65_536)))
def test_pieces_and_the_whole_give_the_same_findings(
    data: st.DataObject,
    stream: bytes,
    transport: Transport | None,
    sender: Side | None,
    lenient: bool,
    limit: int,
) -> None:
    def find(pieces: list[bytes]) -> list[object]:
        return list(
            find_in_pieces(pieces, limit, transport=transport, sender=sender, lenient=lenient)
        )

    whole = find([stream])
    assert find(data.draw(splits(stream))) == whole


@given(streams, st.booleans())
def test_what_is_found_has_its_own_bytes_in_a_row(stream: bytes, lenient: bool) -> None:
    end = 0
    for found in find_in_pieces([stream], lenient=lenient):
        assert found.start == end
        end = found.finding.offset + found.finding.length
        assert found.data == stream[found.start : end]
        assert found.data
    assert end == len(stream)


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1), packets, packets)
def test_a_lenient_reading_finds_the_packets_behind_and_among_text(
    noise: str, first: bytes, second: bytes
) -> None:
    text = noise.encode()
    stream = text + first + text + second
    found = [one.data for one in find_in_pieces([stream], lenient=True)]
    assert found == [text, first, text, second]


def test_a_strict_reading_ends_where_nothing_begins() -> None:
    findings = list(find_packets(PACKET + b"\xfe" + PACKET))
    assert len(findings) == 2
    assert isinstance(findings[-1], FoundError)
    assert findings[-1].length == 1 + len(PACKET)
