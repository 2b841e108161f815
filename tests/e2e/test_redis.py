"""A Redis of the operator's own: slow, gone, back, refusing."""

import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from own_valkey import OwnValkey
from serving import STREAM, TELTONIKA, BareDevice, ServerProcess, run_teltonika

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet

StartServer = Callable[..., ServerProcess]


def packet(number: int = 0, records: int = 1) -> bytes:
    record = AvlRecord(1000 * number, 0, 0, 0, 0, 0, 0, 0)
    return encode_packet(AVL_CODECS.by_name("8"), [record] * records)


def test_without_redis_there_is_no_ack_and_the_connection_stays(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
        valkey.kill()
        device.send(packet(1))
        assert device.silent_for(0.5)
        client = valkey.start()
        assert device.acknowledged() == 1
        device.send(packet(2))
        assert device.acknowledged() == 1
    assert client.xlen(STREAM) == 3
    assert server.logged("redis_unavailable")
    assert server.logged("redis_connected")
    client.close()


def test_a_redis_that_refuses_writes_gets_them_again_until_it_takes_them(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port) as device:
        client.config_set("maxmemory-policy", "volatile-lru")  # else it is given nothing to refuse
        client.config_set("maxmemory", "1")
        device.send(packet(0) + packet(1, records=2))
        assert device.silent_for(0.5)
        client.config_set("maxmemory", "0")
        assert [device.acknowledged(), device.acknowledged()] == [1, 2]
    assert client.xlen(STREAM) == 3
    assert "maxmemory" in server.logged("redis_unavailable")[0]["error"]
    client.close()


def test_a_flushed_script_cache_costs_nothing_but_a_reload(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port) as device:
        client.script_flush()
        device.send(packet(0))
        assert device.acknowledged() == 1
    assert client.xlen(STREAM) == 1
    client.close()


def test_devices_that_send_on_while_redis_is_away_fill_no_memory(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    """A flood of packets nobody confirms: TCP takes the surplus, then all is stored in order."""
    client = valkey.start()
    server = start_server(redis_url=valkey.url)
    flood = b"".join(packet(number) for number in range(20_000))
    with BareDevice(server.port) as device:
        valkey.signal(signal.SIGSTOP)
        device.socket.settimeout(0.5)
        sent = 0
        with pytest.raises(TimeoutError):
            while sent < 200 * len(flood):
                sent += device.socket.send(flood[sent % len(flood) :])
        valkey.signal(signal.SIGCONT)
        device.socket.settimeout(30)
        whole = sent // len(packet())
        assert sum(device.acknowledged() for _ in range(whole)) == whole
    assert client.xlen(STREAM) == whole
    assert server.stop() == 0
    assert server.logged("stopped")[0]["backpressure_pauses"] >= 1
    client.close()


def test_drain_gives_up_after_its_time_limit_and_says_what_is_left(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    server = start_server("--drain-timeout", "0.5", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        valkey.signal(signal.SIGSTOP)
        device.send(packet())
        server.process.terminate()
        assert device.closed_by_server()
        assert server.process.wait(timeout=30) == 0
    (line,) = server.logged("drain_timeout")
    assert line["unconfirmed_packets"] == 1


def test_a_redis_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/nothing.sock"
    result = run_teltonika("serve", "--port", "0", "--redis", url, "--instance-id", "a")
    assert result.returncode == 1
    assert f"cannot use the Redis at {url}" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("url", ["localhost:6379", "http://localhost", "redis://host:port"])
def test_a_wrong_url_is_wrong_usage(url: str, tmp_path: Path) -> None:
    result = run_teltonika("serve", "--redis", url, "--data-dir", str(tmp_path))
    assert result.returncode == 2
    assert "not a Redis URL" in result.stderr
    assert "Traceback" not in result.stderr


def test_two_servers_on_one_redis_need_different_ids(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    valkey.start().close()
    first = start_server(redis_url=valkey.url)
    second = run_teltonika(
        *("serve", "--port", "0", "--redis", valkey.url, "--data-dir", str(first.data_dir))
    )
    assert second.returncode == 1
    assert "--data-dir of its own, or an --instance-id" in second.stderr
    named = start_server("--instance-id", "named", redis_url=valkey.url)
    assert named.listening["instance_id"] == "named"


def test_a_start_that_waits_for_a_redis_can_be_given_up(tmp_path: Path) -> None:
    """It takes connections, and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        command = [TELTONIKA, "serve", "--port", "0", "--data-dir", str(tmp_path)]
        command += ["--redis", f"redis://127.0.0.1:{silent.getsockname()[1]}"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as server:
            connection, _ = silent.accept()
            with connection:
                assert connection.recv(1)
                server.terminate()
                stdout, stderr = server.communicate(timeout=30)
    assert (server.returncode, stdout) == (0, b"")
    assert b"Traceback" not in stderr
