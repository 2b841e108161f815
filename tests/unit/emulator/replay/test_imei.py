"""Another IMEI in captured bytes: everywhere where the device names itself, and nowhere else."""

import pytest
from captures import load_capture

from teltonika.codecs import COMMAND_CODECS, consecutive_imeis, crc16_ibm
from teltonika.emulator.replay import assign_imeis
from teltonika.emulator.replay.imei import rewrite_datagram, rewrite_stream

NEW = "356307042449990"


def stream_of(name: str, session: int = 0) -> tuple[bytes, str]:
    captured = load_capture(name).conversations[session]
    assert captured.imei is not None
    return b"".join(payload.data for payload in captured.device), captured.imei


def test_a_single_device_s_imei_is_taken_as_it_is_given() -> None:
    (session,) = load_capture("codec8e").conversations
    wrong_digit = "356307042441018"
    assert assign_imeis([session], wrong_digit) == {session.imei: wrong_digit}
    with pytest.raises(ValueError, match="15 digits"):
        assign_imeis([session], "3563")


def test_the_nth_device_gets_the_nth_imei_in_each_of_its_sessions() -> None:
    sessions = [
        *load_capture("resend-after-lost-ack").conversations,
        *load_capture("codec8e").conversations,
    ]
    imeis = assign_imeis(sessions, NEW)
    first, second = imeis[str(sessions[0].imei)], imeis[str(sessions[2].imei)]
    assert [first, second] == consecutive_imeis(NEW, 2)


def test_the_handshake_changes_and_no_packet_does() -> None:
    stream, old = stream_of("codec8-session")
    written = rewrite_stream(stream, old, NEW)
    assert written == b"\x00\x0f" + NEW.encode() + stream[17:]


@pytest.mark.parametrize("name", ["codec14-getver", "codec14-nack-corrected", "codec15-text"])
def test_a_packed_imei_changes_and_the_crc_with_it(name: str) -> None:
    stream, old = stream_of(name)
    written = rewrite_stream(stream, old, NEW)
    found = load_capture(name).expected_of(0, "device")
    (packet,) = [o for o in found if o.get("codec") in ("14", "15")]
    begin, end = packet["offset"], packet["offset"] + packet["length"]
    data = written[begin + 8 : end - 4]
    packed_old, packed_new = bytes.fromhex("0" + old), bytes.fromhex("0" + NEW)
    assert data == stream[begin + 8 : end - 4].replace(packed_old, packed_new)
    assert packed_new in data
    assert crc16_ibm(data) == int.from_bytes(written[end - 4 : end])
    assert written[17:begin] + written[end:] == stream[17:begin] + stream[end:]


def test_a_wrong_crc_stays_wrong_and_a_foreign_imei_stays() -> None:
    old = "352093081452251"
    codec = COMMAND_CODECS.by_name("14")
    data = codec.encode_data(codec.answer(codec.command("getver", old), b"fine"))
    wrong = crc16_ibm(data) ^ 0x0101
    packet = bytes(4) + len(data).to_bytes(4) + data + wrong.to_bytes(4)
    hello = b"\x00\x0f" + old.encode()
    written = rewrite_stream(hello + packet, old, NEW)
    body = written[17 + 8 : -4]
    assert bytes.fromhex("0" + NEW) in body
    assert int.from_bytes(written[-4:]) == crc16_ibm(body) ^ 0x0101
    foreign = "356307042441013"
    assert rewrite_stream(hello + packet, foreign, NEW) == hello + packet


@pytest.mark.parametrize("name", ["udp-codec8", "udp-codec8e", "udp-codec16"])
def test_a_datagram_has_another_imei_in_its_header_only(name: str) -> None:
    datagram, old = stream_of(name)
    written = rewrite_datagram(datagram, old, NEW)
    assert written == datagram[:8] + NEW.encode() + datagram[23:]
    assert rewrite_datagram(datagram, "000000000000000", NEW) == datagram
