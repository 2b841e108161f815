"""A device from settings: the same ones give the same bytes."""

from pathlib import Path

import pytest

from teltonika.codecs import AVL_CODECS, AvlCodec, decode_packet
from teltonika.emulator import EmulatorSettings, Route, RouteOffset, assemble_device

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


@pytest.fixture
def route(tmp_path: Path) -> Route:
    file = tmp_path / "route.csv"
    file.write_text(",54.70,25.30\n,54.71,25.30\n,54.72,25.30\n")
    return Route(file, loop=True, offset=RouteOffset(metres=500))


def test_on_a_route_they_decide_every_byte_too(route: Route) -> None:
    on_it = EmulatorSettings(records=0, records_per_packet=20, start_ms=1, route=route)
    assert packets(IMEI, on_it, now_ms=1) == packets(IMEI, on_it, now_ms=2)
    assert packets(IMEI, on_it) != packets("356307042441021", on_it)


def test_the_devices_of_a_fleet_begin_elsewhere_on_the_route(route: Route) -> None:
    settings = EmulatorSettings(route=route, start_ms=1)
    latitudes = []
    for number in (1, 2, 3):
        device = assemble_device(IMEI, settings, 0, number=number)
        device.connection_made()
        device.data_to_send()
        device.receive_data(b"\x01")
        device.send_next()
        (record,) = decode_packet(device.data_to_send()).records
        latitudes.append(record.latitude)
    assert latitudes == pytest.approx([54.70449, 54.70898, 54.71348], abs=1e-5)


def test_around_another_center_it_is_another_place() -> None:
    settings = EmulatorSettings(center=(-33.9, 179.99), records=0, records_per_packet=255)
    for packet in packets(IMEI, settings):
        for record in decode_packet(packet).records:
            assert record.latitude == pytest.approx(-33.9, abs=0.2)
            assert abs((record.longitude - 179.99 + 180) % 360 - 180) < 0.2


def test_an_imei_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="15 digits"):
        assemble_device("12345", SETTINGS, 0)
