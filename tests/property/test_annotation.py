"""The annotated reading and the fast decoders say the same of every packet, right or broken."""

import pytest
from agreement import check_agreement
from captures import CAPTURE_NAMES, load_capture
from hypothesis import example, given
from hypothesis import strategies as st
from samples import SAMPLES, Sample
from strategies import corrupted, packets, packets_of_few_layouts

from teltonika.codecs import (
    encode_imei,
)
from teltonika.codecs.annotate import Form, annotate
from teltonika.codecs.findings import FoundAvlPacket, FoundMessage
from teltonika.codecs.framing import encode_frame
from teltonika.codecs.packet_finder import find_packets
from teltonika.codecs.udp import Datagram, encode_datagram

IMEI = "356307042441013"


def datagram_of(data_field: bytes) -> bytes:
    return encode_datagram(Datagram(0xCAFE, 5, IMEI, data_field))


all_packets = st.one_of(packets, packets_of_few_layouts)
datagrams = packets.map(lambda packet: datagram_of(packet[8:-4]))
data_fields = all_packets.map(lambda packet: packet[8:-4])
FORMS = {"udp": Form.DATAGRAM, "tcp": Form.PACKET}


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_both_readings_agree_on_a_published_sample_and_on_its_cuts(sample: Sample) -> None:
    form = Form.HANDSHAKE if sample.kind == "imei" else FORMS[sample.transport]
    for end in range(len(sample.data) + 1):
        check_agreement(sample.data[:end], form)
    if form is not Form.HANDSHAKE:  # which has no length of its own
        check_agreement(sample.data + b"\x00", form)


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_both_readings_agree_on_a_published_sample_with_each_byte_changed(sample: Sample) -> None:
    form = Form.HANDSHAKE if sample.kind == "imei" else FORMS[sample.transport]
    for at in range(len(sample.data)):
        for change in (0x01, 0x80, 0xFF):
            changed = bytearray(sample.data)
            changed[at] ^= change
            check_agreement(bytes(changed), form)


@pytest.mark.parametrize("name", CAPTURE_NAMES)
def test_both_readings_agree_on_what_the_captures_hold(name: str) -> None:
    checked = 0
    for session in load_capture(name).conversations:
        parts = [payload.data for payload in (*session.device, *session.server)]
        for data in parts if session.transport == "udp" else [b"".join(parts)]:
            for found in find_packets(data):
                if isinstance(found, FoundAvlPacket | FoundMessage):
                    own = data[found.offset : found.offset + found.length]
                    assert check_agreement(own, FORMS[found.transport]).fault is None
                    checked += 1
    assert checked or name == "unknown-imei-rejected"


@given(all_packets)
def test_both_readings_agree_on_every_packet(packet: bytes) -> None:
    assert check_agreement(packet, Form.PACKET).fault is None


@given(corrupted(all_packets))
def test_both_readings_agree_on_every_mutation_of_a_packet(packet: bytes) -> None:
    check_agreement(packet, Form.PACKET)


@given(corrupted(data_fields).filter(lambda data: len(data) >= 3))
def test_both_readings_agree_on_a_broken_data_field_with_a_right_crc(data_field: bytes) -> None:
    check_agreement(encode_frame(data_field), Form.PACKET)
    check_agreement(datagram_of(data_field), Form.DATAGRAM)


@given(st.one_of(datagrams, corrupted(datagrams)))
def test_both_readings_agree_on_every_datagram_and_its_mutations(datagram: bytes) -> None:
    check_agreement(datagram, Form.DATAGRAM)


@given(corrupted(st.just(encode_imei(IMEI))))
@example(encode_imei(IMEI))
def test_both_readings_agree_on_handshakes(handshake: bytes) -> None:
    check_agreement(handshake[: len(encode_imei(IMEI))], Form.HANDSHAKE)


@given(st.binary(max_size=100), st.sampled_from(Form))
def test_any_bytes_are_covered_in_any_form(data: bytes, form: Form) -> None:
    annotation = annotate(data, form)
    assert b"".join(bytes.fromhex(field.hex) for field in annotation.fields) == data
