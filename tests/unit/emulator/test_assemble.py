"""A device from settings: the same ones give the same bytes."""

import pytest

from teltonika.codecs import AVL_CODECS, AvlCodec, decode_packet
from teltonika.emulator import EmulatorSettings, assemble_device

IMEI = "356307042441013"


def packets(imei: str, settings: EmulatorSettings, now_ms: int = 1_760_000_000_000) -> list[bytes]:
    """What a device sends to a server that acknowledges all."""
    device = assemble_device(imei, settings, now_ms)
    device.connection_made()
    device.data_to_send()
    device.receive_data(b"\x01")
    sent = []
    for _ in range(5):
        device.send_next()
        packet = device.data_to_send()
        sent.append(packet)
        device.receive_data(packet[9].to_bytes(4))  # number of data 1
    return sent


SETTINGS = EmulatorSettings(records=0, records_per_packet=20, start_ms=1_760_000_000_000)


def test_seed_imei_and_start_time_decide_every_byte() -> None:
    assert packets(IMEI, SETTINGS, now_ms=1) == packets(IMEI, SETTINGS, now_ms=2)


@pytest.mark.parametrize(
    ("imei", "seed", "start_ms"),
    [
        ("356307042441021", 0, 1_760_000_000_000),
        (IMEI, 1, 1_760_000_000_000),
        (IMEI, 0, 1_760_000_000_001),
    ],
    ids=["imei", "seed", "start time"],
)
def test_each_of_them_matters(imei: str, seed: int, start_ms: int) -> None:
    other = EmulatorSettings(records=0, records_per_packet=20, seed=seed, start_ms=start_ms)
    assert packets(imei, other) != packets(IMEI, SETTINGS)


@pytest.mark.parametrize("codec", list(AVL_CODECS), ids=lambda codec: codec.name)
def test_each_codec_is_sent_as_what_it_is(codec: AvlCodec) -> None:
    settings = EmulatorSettings(codec=codec, records=0, records_per_packet=20)
    for packet in packets(IMEI, settings):
        assert decode_packet(packet).codec_id == codec.codec_id
        assert len(decode_packet(packet).records) == 20


def test_an_imei_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="15 digits"):
        assemble_device("12345", SETTINGS, 0)
