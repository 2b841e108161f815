"""What a device sends again is acknowledged again, and stands on the stream once."""

import signal
import sys
from collections.abc import Callable
from pathlib import Path

import jumping_clock
import pytest
from own_valkey import OwnValkey
from serving import IMEI, BareDevice, ServerProcess

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_imei, encode_packet

StartServer = Callable[..., ServerProcess]
OTHER = "356307042441021"


def packet(*numbers: int, codec: str = "8") -> bytes:
    """A record each, known by its altitude."""
    reason = 1 if codec == "16" else None
    records = [
        AvlRecord(number, 0, 0, 0, number, 0, 0, 0, generation_type=reason) for number in numbers
    ]
    return encode_packet(AVL_CODECS.by_name(codec), records)


def stored(server: ServerProcess) -> list[int]:
    return [payload["altitude"] for payload in server.payloads()]


@pytest.mark.parametrize("codec", ["8", "8E", "16"])
def test_on_the_same_connection_and_the_next(codec: str, server: ServerProcess) -> None:
    for _ in range(2):
        with BareDevice(server.port) as device:
            for _ in range(2):
                device.send(packet(1, 2, 3, codec=codec))
                assert device.acknowledged() == 3
    assert stored(server) == [1, 2, 3]


def test_packed_anew_beside_new_records(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        device.send(packet(1, 2, 3))
        assert device.acknowledged() == 3
        device.send(packet(2, 3, 4, 1, 5))
        assert device.acknowledged() == 5
    assert stored(server) == [1, 2, 3, 4, 5]


def test_equal_records_in_one_packet_and_of_two_devices(server: ServerProcess) -> None:
    for imei in ("356307042441013", OTHER):
        with BareDevice(server.port, imei) as device:
            device.send(packet(1, 1))
            assert device.acknowledged() == 2
    assert stored(server) == [1, 1, 1, 1]


def test_after_a_restart_of_server_and_valkey(start_server: StartServer) -> None:
    server = start_server()
    with BareDevice(server.port) as device:
        device.send(packet(1, 2))
        assert device.acknowledged() == 2
    server.redis.close()
    server.kill()
    again = start_server()
    with BareDevice(again.port) as device:
        device.send(packet(1, 2, 3))
        assert device.acknowledged() == 3
    assert stored(again) == [1, 2, 3]
    again.stop()
    assert again.logged("stopped")[0]["records_known"] == 2
    assert again.logged("stopped")[0]["records_stored"] == 1


def test_to_another_instance(valkey: OwnValkey, start_server: StartServer) -> None:
    valkey.start().close()
    for name in ("a", "b"):
        server = start_server("--instance-id", name, data_dir=name, redis_url=valkey.url)
        with BareDevice(server.port) as device:
            device.send(packet(1, 2))
            assert device.acknowledged() == 2
    assert stored(server) == [1, 2]


def test_what_was_under_way_when_redis_died(valkey: OwnValkey, start_server: StartServer) -> None:
    """Some of it was stored, and the server never told so: it asks again."""
    valkey.start().close()
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port) as device:
        for number in range(0, 300, 3):
            device.send(packet(number, number + 1, number + 2))
        assert device.acknowledged() == 3
        valkey.kill()
        client = valkey.start()
        assert {device.acknowledged() for _ in range(99)} == {3}
    assert stored(server) == list(range(300))
    client.close()


def test_what_an_instance_reads_after_the_device_has_gone_to_another(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    """It was stopped with the packet in its socket; the device sent that to the other, and more."""
    valkey.start().close()
    paused, other = (
        start_server("--instance-id", name, data_dir=name, redis_url=valkey.url)
        for name in ("a", "b")
    )
    with BareDevice(paused.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
        paused.process.send_signal(signal.SIGSTOP)
        device.send(packet(1))
        with BareDevice(other.port) as moved:
            for number in range(1, 100):
                moved.send(packet(number))
                assert moved.acknowledged() == 1
            paused.process.send_signal(signal.SIGCONT)
            assert device.closed_by_server()
    assert stored(other) == list(range(100))
    paused.wait_for_log("device_disconnected")
    assert paused.logged("device_disconnected")[0]["reason"] == "the device has a newer connection"


def test_what_an_instance_has_waiting_for_redis_when_the_device_goes_to_another(
    valkey: OwnValkey, start_server: StartServer, tmp_path: Path
) -> None:
    """Redis is away for one instance only, from before the device came until after it had left."""
    client = valkey.start()
    way = tmp_path / "way.sock"
    way.symlink_to(valkey.socket)
    cut_off = start_server("--instance-id", "a", data_dir="a", redis_url=f"unix://{way}")
    other = start_server("--instance-id", "b", data_dir="b", redis_url=valkey.url)
    way.unlink()
    client.client_kill_filter(_type="normal", skipme=True)
    with BareDevice(cut_off.port, imei=None) as device:
        device.send(encode_imei(IMEI))
        if not device.silent_for(1):  # it may be accepted only once Redis knows of it
            device.send(packet(0))
        with BareDevice(other.port) as moved:
            for number in range(100):
                moved.send(packet(number))
                assert moved.acknowledged() == 1
        way.symlink_to(valkey.socket)
        device.receive(1)  # an answer, an ACK or the end
        assert stored(other) == list(range(100))
    client.close()


@pytest.mark.parametrize("days", [-400, 400])
def test_though_the_clock_of_one_instance_is_wrong_by_more_than_devices_are_remembered(
    days: int, valkey: OwnValkey, start_server: StartServer, tmp_path: Path
) -> None:
    """The other one forgets devices not seen for long, at its start."""
    valkey.start().close()
    clock = tmp_path / "clock"
    jumping_clock.set_clock(clock, days * 86_400)
    program = (sys.executable, jumping_clock.__file__, str(clock))
    wrong = start_server("--instance-id", "a", data_dir="a", redis_url=valkey.url, program=program)
    with BareDevice(wrong.port) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1
    wrong.redis.delete("{telemetry:teltonika}:dedupe:swept")
    right = start_server("--instance-id", "b", data_dir="b", redis_url=valkey.url)
    right.wait_for_log("dedupe_swept")
    with BareDevice(right.port) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1
    assert stored(right) == [1]
