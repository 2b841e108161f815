"""What a server that is told to stop does, and what it does not wait for."""

import signal
import socket
import time
from collections.abc import Callable

import pytest
from own_valkey import OwnValkey
from serving import IMEI, REGISTRY, STREAM, BareDevice, ServerProcess, is_running

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_imei, encode_packet

StartServer = Callable[..., ServerProcess]
OTHER = "356307042441021"


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(number, 0, 0, 0, 0, 0, 0, 0)])


def refuses(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=30).close()
    except ConnectionRefusedError:
        return True
    except ConnectionResetError:
        pass  # it came in the moment in which the listener closed: the next one is refused
    return False


def test_a_command_in_flight_gets_its_answer_and_the_device_is_read_until_then(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server("--instance-id", "gate", redis_url=valkey.url)
    with BareDevice(server.port) as device, BareDevice(server.port, OTHER) as idle:
        server.publish("first")
        command = device.command()
        server.publish("second")
        server.all_taken()
        server.process.terminate()
        assert idle.closed_by_server()
        while not refuses(server.port):
            pass
        assert server.ending("second") == ("failed", "shutdown")
        device.send(packet(1))
        assert device.acknowledged() == 1
        device.answer(command)
        assert server.ending("first") == ("responded", None)
        assert device.closed_by_server()
        assert server.process.wait(timeout=30) == 0
    assert client.xlen(STREAM) == 1
    assert client.hgetall(REGISTRY) == {}
    client.close()


def test_an_answer_that_does_not_come_is_waited_for_so_long(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    server = start_server("--drain-timeout", "1", "--instance-id", "gate", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        server.publish("first")
        device.command()
        start = time.monotonic()
        server.process.terminate()
        assert device.closed_by_server()
        assert server.process.wait(timeout=30) == 0
    assert time.monotonic() - start >= 1
    assert server.ending("first") == ("failed", "shutdown")
    (line,) = server.logged("drain_timeout")
    assert (line["commands"], line["unconfirmed_packets"]) == (1, 0)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(number: signal.Signals, start_server: StartServer) -> None:
    server = start_server("--drain-timeout", "1000")
    valkey_pid = server.valkey_pid
    with BareDevice(server.port) as device:
        server.publish("first")
        device.command()
        server.process.send_signal(number)
        server.wait_for_log("draining")
        server.process.send_signal(number)
        assert server.process.wait(timeout=30) == 1
        assert device.closed_by_server()
    assert not is_running(valkey_pid)
    assert "ended at once" in server.log_text()
    assert "Traceback" not in server.log_text()


def test_a_second_signal_does_not_wait_for_a_redis_that_hangs(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server("--drain-timeout", "1000", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        valkey.signal(signal.SIGSTOP)
        device.send(packet(1))
        server.process.terminate()
        server.wait_for_log("draining")
        server.process.terminate()
        assert server.process.wait(timeout=30) == 1
        assert device.receive(4) == b""
    valkey.signal(signal.SIGCONT)
    client.close()


def test_who_is_just_coming_in_is_not_left_hanging(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    """The IMEI came, and Redis has not said yet that it knows: the device is answered first."""
    client = valkey.start()
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port, imei=None) as device:
        valkey.signal(signal.SIGSTOP)
        device.send(encode_imei(IMEI) + packet(1))
        assert device.silent_for(0.5)
        server.process.terminate()
        server.wait_for_log("draining")
        valkey.signal(signal.SIGCONT)
        assert device.receive(5) == b"\x01\x00\x00\x00\x01"
        assert device.closed_by_server()
        assert server.process.wait(timeout=30) == 0
    assert client.xlen(STREAM) == 1
    client.close()
