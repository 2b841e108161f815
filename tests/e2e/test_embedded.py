"""The embedded Valkey: durable, private, alone on its files, and there again after any end."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest
import redis
from serving import IMEI, STREAM, TELTONIKA, BareDevice, ServerProcess, is_running, run_teltonika

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet
from teltonika.server.machine_memory import memory_limit

StartServer = Callable[..., ServerProcess]


def packet(number: int = 0) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(1000 * number, 0, 0, 0, 0, 0, 0, 0)])


def test_every_write_is_fsynced_before_it_is_confirmed(server: ServerProcess) -> None:
    settings = server.redis.config_get("append*")
    assert (settings["appendonly"], settings["appendfsync"]) == ("yes", "always")
    assert server.redis.config_get("maxmemory-policy")["maxmemory-policy"] == "noeviction"
    assert int(server.redis.config_get("maxmemory")["maxmemory"]) == memory_limit() // 2


def test_it_listens_on_a_unix_socket_of_this_user_only(server: ServerProcess) -> None:
    assert server.redis.config_get("port")["port"] == "0"
    path = Path(server.listening["redis"].removeprefix("unix://"))
    assert path.stat().st_mode & 0o077 == 0
    connections = psutil.Process(server.valkey_pid).net_connections("tcp")
    assert connections == []


def test_a_data_directory_with_a_long_name_gets_its_socket_elsewhere(
    start_server: StartServer,
) -> None:
    server = start_server(data_dir="long" * 30)
    with BareDevice(server.port) as device:
        device.send(packet())
        assert device.acknowledged() == 1
    socket_path = Path(server.listening["redis"].removeprefix("unix://"))
    assert server.stop() == 0
    assert not socket_path.parent.exists()


def test_data_and_instance_id_are_there_again_at_the_next_start(
    start_server: StartServer,
) -> None:
    first = start_server()
    with BareDevice(first.port) as device:
        device.send(packet())
        assert device.acknowledged() == 1
    valkey = first.valkey_pid
    assert first.stop() == 0
    assert not is_running(valkey)
    second = start_server()
    assert second.redis.xlen(STREAM) == 1
    assert second.listening["instance_id"] == first.listening["instance_id"]


def test_a_second_server_on_the_same_directory_says_so_and_exits(server: ServerProcess) -> None:
    second = run_teltonika("serve", "--port", "0", "--data-dir", str(server.data_dir))
    assert second.returncode == 1
    assert second.stdout == ""
    assert f"in use by another server (pid {server.process.pid})" in second.stderr
    assert "--data-dir" in second.stderr
    assert len(second.stderr.splitlines()) == 1
    with BareDevice(server.port) as device:
        device.send(packet())
        assert device.acknowledged() == 1


def test_a_valkey_that_outlived_a_killed_server_is_ended_before_the_next_start(
    start_server: StartServer,
) -> None:
    first = start_server()
    with BareDevice(first.port) as device:
        device.send(packet())
        assert device.acknowledged() == 1
    valkey = first.valkey_pid
    first.kill()
    assert is_running(valkey)
    second = start_server()
    assert second.redis.xlen(STREAM) == 1
    assert second.valkey_pid != valkey
    assert not is_running(valkey)
    assert second.logged("valkey_survivor")[0]["pid"] == valkey


def test_a_valkey_that_dies_is_started_again_and_nothing_acknowledged_is_missing(
    server: ServerProcess,
) -> None:
    acknowledged = 0
    with BareDevice(server.port) as device:
        for number in range(60):
            if number in {20, 40}:
                os.kill(server.valkey_pid, signal.SIGKILL)
            device.send(packet(number))
            acknowledged += device.acknowledged()
            if number in {20, 40}:
                server.redis.close()
    assert acknowledged == 60
    stored = {payload["timestamp"] for payload in server.payloads(IMEI)}
    assert len(stored) == 60
    assert len(server.logged("valkey_died", at_least=2)) == 2


def test_ctrl_c_in_a_terminal_does_not_end_valkey_before_the_server(tmp_path: Path) -> None:
    """A terminal sends SIGINT to the whole foreground group: Valkey is not in it."""
    server = ServerProcess(tmp_path / "data")
    with server:
        assert os.getsid(server.valkey_pid) == server.valkey_pid
        valkey = server.valkey_pid
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(timeout=30) == 0
        assert not is_running(valkey)
    assert server.logged_so_far("valkey_died") == []


def test_a_valkey_that_cannot_start_is_one_sentence(tmp_path: Path) -> None:
    directory = tmp_path / "valkey" / "appendonlydir"
    directory.mkdir(parents=True)
    (directory / "appendonly.aof.manifest").write_text("not a manifest\n")
    result = run_teltonika("serve", "--port", "0", "--data-dir", str(tmp_path))
    assert result.returncode == 1
    assert "the embedded Valkey did not start" in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_directory_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = run_teltonika("serve", "--port", "0", "--data-dir", str(tmp_path / "data"))
    assert result.returncode == 1
    assert "cannot use the data directory" in result.stderr


def test_a_port_in_use_is_one_sentence(server: ServerProcess, tmp_path: Path) -> None:
    result = run_teltonika(
        *("serve", "--host", "127.0.0.1", "--port", str(server.port)),
        *("--data-dir", str(tmp_path / "other")),
    )
    assert result.returncode == 1
    assert f"cannot listen on 127.0.0.1:{server.port}" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_line_on_standard_output_is_the_contracts(server: ServerProcess) -> None:
    assert set(server.listening) == {"event", "host", "port", "redis", "instance_id", "pid"}
    assert server.listening["event"] == "listening"
    assert server.listening["host"] == "127.0.0.1"
    assert server.listening["pid"] == server.process.pid
    assert redis.Redis.from_url(server.listening["redis"]).ping()
    server.stop()
    assert server.process.stdout is not None
    assert server.process.stdout.read() == ""


def test_sigterm_stores_and_acknowledges_what_was_read(server: ServerProcess) -> None:
    """Valkey is stopped while a packet is under way: the drain waits for it."""
    valkey = server.valkey_pid
    with BareDevice(server.port) as device, BareDevice(server.port, "356307042441021") as idle:
        os.kill(valkey, signal.SIGSTOP)
        device.send(packet())
        server.process.terminate()
        assert idle.closed_by_server()
        os.kill(valkey, signal.SIGCONT)
        assert device.acknowledged() == 1
        assert device.closed_by_server()
    assert server.process.wait(timeout=30) == 0
    assert server.logged("stopped")[0]["records_stored"] == 1


def test_help_and_version_need_no_redis() -> None:
    for arguments in (["--version"], ["--help"], ["serve", "--help"]):
        result = subprocess.run(
            [TELTONIKA, *arguments], capture_output=True, text=True, check=True, timeout=60
        )
        assert "teltonika" in result.stdout.lower()


def test_a_lock_note_cut_short_does_not_keep_the_server_from_starting(
    start_server: Callable[..., ServerProcess],
) -> None:
    server = start_server()
    with BareDevice(server.port) as device:
        device.send(packet())
        assert device.acknowledged() == 1
    valkey = server.valkey_pid
    server.redis.close()
    server.kill()
    (server.data_dir / "valkey" / "valkey.lock").write_text('{"pid":')
    again = start_server()
    assert not is_running(valkey)
    assert again.redis.xlen(STREAM) == 1
