"""What holds for every record, every packet, every stream of bytes."""

from collections.abc import Iterable

from hypothesis import example, given
from hypothesis import strategies as st
from ping_runs import join_pings
from strategies import codecs_and_records, corrupted, messages, packets, splits

from teltonika.codecs import (
    CODECS,
    AvlCodec,
    AvlPacketReceived,
    AvlRecord,
    CommandCodec,
    CommandMessage,
    CommandReceived,
    CommandResponseReceived,
    ConnectionState,
    CrcFailed,
    DecodeError,
    DeviceConnection,
    PacketAcknowledged,
    ProtocolViolation,
    ServerConnection,
    ServerEvent,
    crc16_ibm,
    decode_packet,
    describe_record,
    encode_imei,
    encode_message,
    encode_packet,
)
from teltonika.codecs.findings import FoundError
from teltonika.codecs.io_catalog import io_catalog
from teltonika.codecs.packet_finder import find_packets

IMEI = "356307042441013"
PING = b"\xff"


@given(codecs_and_records())
def test_decode_undoes_encode(drawn: tuple[AvlCodec, list[AvlRecord]]) -> None:
    codec, records = drawn
    packet = decode_packet(encode_packet(codec, records))
    assert packet.codec_id == codec.codec_id
    assert list(packet.records) == records
    for before, after in zip(records, packet.records, strict=True):
        assert list(before.io) == list(after.io)


@given(codecs_and_records())
def test_encode_undoes_decode(drawn: tuple[AvlCodec, list[AvlRecord]]) -> None:
    encoded = encode_packet(*drawn)
    assert encode_packet(drawn[0], decode_packet(encoded).records) == encoded


@given(messages)
def test_a_message_is_what_it_was_encoded_from(message: CommandMessage) -> None:
    assert decode_packet(encode_message(message)) == message


@given(st.one_of(st.binary(max_size=300), corrupted(packets)))
def test_a_packet_that_is_none_raises_our_errors_only(data: bytes) -> None:
    try:
        decode_packet(data)
    except DecodeError as error:
        assert 0 <= error.offset <= len(data)
        assert error.message == str(error)


@given(st.sampled_from(list(CODECS)), corrupted(packets))
def test_a_data_field_with_a_right_crc_raises_our_errors_only(
    codec: AvlCodec | CommandCodec, packet: bytes
) -> None:
    """The record decoder itself, behind the checks that a wrong packet seldom passes."""
    data = packet[8:-4]
    try:
        codec.decode_data(data, offset=8)
    except DecodeError as error:
        assert 8 <= error.offset <= 8 + len(data)


stream_parts = st.lists(
    st.one_of(
        packets,
        st.just(PING),
        corrupted(packets),
        packets.map(lambda packet: packet[:-1] + bytes((packet[-1] ^ 1,))),
        st.binary(max_size=30),
    ),
    max_size=6,
)


def events_of(pieces: Iterable[bytes]) -> list[ServerEvent]:
    connection = ServerConnection(max_packet_size=4096)
    events = [event for piece in pieces for event in connection.receive_data(piece)]
    events += connection.receive_eof()
    if connection.state is ConnectionState.CLOSED:
        assert connection.receive_data(b"more") == []
    return events


@given(st.data(), stream_parts, st.booleans())
def test_any_split_of_a_stream_gives_the_same_events(
    data: st.DataObject, parts: list[bytes], handshakes: bool
) -> None:
    stream = (encode_imei(IMEI) if handshakes else b"") + b"".join(parts)
    whole = join_pings(events_of([stream]))
    assert join_pings(events_of(data.draw(splits(stream)))) == whole
    assert join_pings(events_of(bytes((byte,)) for byte in stream)) == whole


@given(stream_parts)
def test_a_violation_is_the_last_event(parts: list[bytes]) -> None:
    events = events_of([encode_imei(IMEI), *parts])
    violations = [event for event in events if isinstance(event, ProtocolViolation)]
    assert len(violations) <= 1
    assert violations == [] or events[-1] is violations[0]


@given(packets, packets)
def test_behind_a_wrong_crc_the_stream_goes_on(spoilt: bytes, sound: bytes) -> None:
    spoilt = spoilt[:-4] + (crc16_ibm(spoilt[8:-4]) ^ 1).to_bytes(4)
    _, failed, received = ServerConnection().receive_data(encode_imei(IMEI) + spoilt + sound)
    assert isinstance(failed, CrcFailed)
    assert failed.error.found == failed.error.expected ^ 1
    assert isinstance(received, AvlPacketReceived | CommandResponseReceived)
    what = received.packet if isinstance(received, AvlPacketReceived) else received.message
    assert what == decode_packet(sound)


@given(st.data(), st.lists(st.one_of(messages, st.integers(0, 255)), max_size=8))
def test_a_device_tells_acks_from_commands(
    data: st.DataObject, parts: list[CommandMessage | int]
) -> None:
    stream = b"".join(
        part.to_bytes(4) if isinstance(part, int) else encode_message(part) for part in parts
    )
    device = DeviceConnection()
    device.start(IMEI)
    device.receive_data(b"\x01")
    events = [event for piece in data.draw(splits(stream)) for event in device.receive_data(piece)]
    while device.undecided:
        events += device.settle()
    assert events == [
        PacketAcknowledged(part) if isinstance(part, int) else CommandReceived(part)
        for part in parts
    ]


@given(st.binary(max_size=200))
@example(b"\x02")
def test_a_device_takes_whatever_a_server_sends(data: bytes) -> None:
    connection = DeviceConnection()
    connection.start(IMEI)
    connection.receive_data(data)


@given(st.one_of(st.binary(max_size=300), stream_parts.map(b"".join)))
def test_findings_are_in_order_and_no_byte_is_in_two(data: bytes) -> None:
    end = 0
    for finding in find_packets(data):
        assert finding.offset >= end
        assert finding.length > 0 or isinstance(finding, FoundError)
        end = finding.offset + finding.length
        assert end <= len(data)
    assert end == len(data)


@given(codecs_and_records(), st.sampled_from([None, *sorted(io_catalog().models)]))
def test_whatever_a_record_holds_can_be_described(
    drawn: tuple[AvlCodec, list[AvlRecord]], model: str | None
) -> None:
    for record in drawn[1]:
        for element, meaning in zip(record.io, describe_record(record.io, model), strict=True):
            assert meaning is None or (meaning.id, type(meaning.text)) == (element.id, str)
