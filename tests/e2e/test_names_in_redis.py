"""What anybody may have written where instances write their names: shown, and no failure."""

from collections.abc import Callable
from pathlib import Path

import pytest
from own_valkey import OwnValkey
from serving import IMEI, BareDevice, ServerProcess, run_teltonika, wait_for_entry

StartServer = Callable[..., ServerProcess]
LOOKS = (("devices",), ("top", "--once"), ("trace",))


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look[0])
def test_an_instance_id_is_shown_as_it_is(
    look: tuple[str, ...], valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server("--instance-id", "gate[/b] [red]", redis_url=valkey.url)
    client.sadd("devices:traced", IMEI)
    with BareDevice(server.port):
        wait_for_entry(client, IMEI, "gate[/b] [red]")
        result = run_teltonika(*look, "--redis", valkey.url)
    assert (result.returncode, result.stderr) == (0, "")
    assert "gate[/b] [red]" in result.stdout
    client.close()


@pytest.mark.parametrize("look", LOOKS, ids=lambda look: look[0])
def test_what_no_instance_wrote_is_shown_without_what_a_terminal_obeys(
    look: tuple[str, ...], valkey: OwnValkey
) -> None:
    client = valkey.start()
    client.sadd("devices:traced", IMEI)
    client.hset("connections:registry", IMEI, b"\xff\x1b[2J")
    client.hset("{connections:registry}:runs", b"\xfe", "1")
    for json in ((), ("--json",)):
        result = run_teltonika(*look, *json, "--redis", valkey.url)
        assert (result.returncode, result.stderr) == (0, "")
        assert "xff" in result.stdout
        assert "\x1b" not in result.stdout
    client.close()


@pytest.mark.parametrize("command", ["top", "tail", "lag", "serve"])
def test_what_is_no_number_of_shards_is_told_in_a_sentence(
    command: str, valkey: OwnValkey, tmp_path: Path
) -> None:
    client = valkey.start()
    client.set("telemetry:teltonika:shards", "99999999")
    quiet = ("--log-level", "error", "--data-dir", str(tmp_path)) if command == "serve" else ()
    result = run_teltonika(command, "--redis", valkey.url, *quiet)
    said = "telemetry:teltonika:shards: expected a number of shards, "
    if command == "top":  # it shows what it can
        assert said in result.stdout
    else:
        assert result.returncode == 1
        (line,) = result.stderr.splitlines()
        assert line.startswith(f"teltonika: {said}")
    client.close()


def test_tracing_says_by_whom_a_device_is_held_whatever_that_is(valkey: OwnValkey) -> None:
    client = valkey.start()
    client.hset("connections:registry", IMEI, b"\xff")
    result = run_teltonika("trace", IMEI, "--redis", valkey.url)
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.endswith("it is connected to \\xff\n")
    client.close()
