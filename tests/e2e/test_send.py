"""`teltonika send` and `teltonika devices`, against a server and an emulated device."""

import json
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from own_valkey import OwnValkey
from serving import IMEI, TELTONIKA, BareDevice, ServerProcess, run_teltonika, wait_for_entry

StartServer = Callable[..., ServerProcess]
OTHER = "356307042441021"


@contextmanager
def emulated(server: ServerProcess, *options: str) -> Iterator[None]:
    command = [TELTONIKA, "emulate", "--imei", IMEI, "--port", str(server.port), "--records", "0"]
    with subprocess.Popen([*command, *options], stdout=subprocess.DEVNULL) as emulator:
        try:
            wait_for_entry(server.redis, IMEI, server.instance_id)
            yield
        finally:
            emulator.send_signal(signal.SIGINT)


def send(server: ServerProcess, *arguments: str) -> subprocess.CompletedProcess[str]:
    return run_teltonika("send", *arguments, "--data-dir", str(server.data_dir))


@pytest.mark.parametrize("codec", ["12", "14"])
def test_it_prints_the_answer(codec: str, server: ServerProcess) -> None:
    with emulated(server):
        result = send(server, IMEI, "getinfo", "--codec", codec)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.startswith("INI:2")
    assert " SF:1 MD:0\n" in result.stdout


def test_with_json_each_status_is_an_object(server: ServerProcess) -> None:
    with emulated(server):
        result = send(server, IMEI, "getver", "--json")
    delivered, responded = map(json.loads, result.stdout.splitlines())
    assert (delivered["status"], responded["status"]) == ("delivered", "responded")
    assert responded["response"].startswith("Ver:")


def test_a_device_that_is_not_connected(server: ServerProcess) -> None:
    result = send(server, IMEI, "getver")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("teltonika: not_connected: ")
    assert result.stderr.count("\n") == 1
    as_json = send(server, IMEI, "getver", "--json")
    assert as_json.returncode == 1
    assert json.loads(as_json.stdout)["reason"] == "not_connected"


def test_an_instance_that_is_dead_is_not_asked(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server("--instance-id", "gate", redis_url=valkey.url)
    with BareDevice(server.port):
        wait_for_entry(client, IMEI, "gate")
        server.kill()
        client.delete("instance:heartbeat:gate")  # as if its time were over
        result = run_teltonika("send", IMEI, "getver", "--redis", valkey.url)
    assert result.returncode == 1
    assert "not_connected: the instance gate" in result.stderr
    client.close()


def test_no_answer_is_the_reason_in_one_line(server: ServerProcess) -> None:
    with emulated(server, "--answer-fault", "withhold"):
        result = send(server, IMEI, "getver", "--timeout", "0.3")
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr == "teltonika: timeout: no answer in 0.3 s\n"


def test_the_emulator_s_faults_reach_every_path(server: ServerProcess) -> None:
    with emulated(server, "--answer-fault", "split", "--answer-delay", "0.1"):
        assert send(server, IMEI, "getver").stdout.startswith("Ver:")
    with emulated(server, "--answer-fault", "double"):
        assert send(server, IMEI, "getver").stdout.startswith("Ver:")
        assert send(server, IMEI, "getgps").stdout.startswith("GPS:")
    with emulated(server):
        assert "disconnected" in send(server, IMEI, "cpureset").stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("12", "getver"), "15 digits"),
        ((IMEI, "getver", "--codec", "13"), "--codec: no codec is called '13'"),
        ((IMEI, "getver", "--redis", "http://x"), "not a Redis URL"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], said: str, tmp_path: Path) -> None:
    result = run_teltonika("send", *arguments, "--data-dir", str(tmp_path))
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_where_no_server_runs(tmp_path: Path) -> None:
    for command in (("send", IMEI, "getver"), ("devices",)):
        result = run_teltonika(*command, "--data-dir", str(tmp_path))
        assert result.returncode == 1
        assert "no server with an embedded Valkey" in result.stderr
        gone = run_teltonika(*command, "--redis", f"unix://{tmp_path}/nothing.sock")
        assert gone.returncode == 1
        assert gone.stderr.startswith("teltonika: Redis: ")
        assert gone.stderr.count("\n") == 1


def test_devices_lists_who_is_connected(server: ServerProcess) -> None:
    options = ("--data-dir", str(server.data_dir))
    assert "No device is connected." in run_teltonika("devices", *options).stdout
    assert run_teltonika("devices", "--json", *options).stdout == ""
    with BareDevice(server.port) as device, BareDevice(server.port, OTHER):
        for imei in (IMEI, OTHER):
            wait_for_entry(server.redis, imei, server.instance_id)
        server.publish("c1")
        server.publish("c2")
        server.all_taken()
        device.command()
        lines = run_teltonika("devices", "--json", *options).stdout.splitlines()
        first, second = sorted(map(json.loads, lines), key=lambda found: found["imei"])
        assert first == {
            "imei": IMEI,
            "instance_id": server.instance_id,
            "alive": True,
            "since": first["since"],
            "pending_commands": 2,
        }
        assert first["since"].endswith("Z")
        assert (second["imei"], second["pending_commands"]) == (OTHER, 0)
        table = run_teltonika("devices", *options).stdout
        assert IMEI in table
        assert OTHER in table
