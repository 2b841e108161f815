"""`teltonika tail`, against a server and its stream."""

import json
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from own_valkey import OwnValkey
from samples import OTHER_PACKET
from serving import IMEI, STREAM, BareDevice, ServerProcess, run_teltonika
from watching import Watcher

StartServer = Callable[..., ServerProcess]
OTHER = "356307042441021"


def add(client: redis.Redis, imei: str = IMEI, *, speed: int = 0, **fields: str) -> str:
    """An entry as the server writes one; its id."""
    payload = {
        "device_id": imei,
        "timestamp": "2026-05-04T12:00:00.000Z",
        "latitude": 54.7,
        "longitude": -25.25,
        "altitude": 120,
        "angle": 90,
        "speed": speed,
        "satellites": 9,
        "priority": 0,
        "event_io_id": 239,
        "attributes": {"239": 1, "66": 12345, "72": 0xFFFFFFF6},
    }
    entry = {"ts": payload["timestamp"], "device_id": imei, "codec": "8"}
    return str(client.xadd(STREAM, entry | {"payload": json.dumps(payload)} | fields))


def wait_until_read(client: redis.Redis) -> None:
    """Return once somebody waits for the next entry."""
    while not client.info("clients")["blocked_clients"]:
        pass


def test_a_record_of_a_device_is_a_line(server: ServerProcess) -> None:
    options = ("--data-dir", str(server.data_dir))
    with Watcher("tail", *options) as tail, Watcher("tail", "--json", *options) as as_json:
        while server.redis.info("clients")["blocked_clients"] < 3:  # the server's is one of them
            pass
        with BareDevice(server.port) as device:
            device.send(OTHER_PACKET)
            assert device.acknowledged() == 1
        line = tail.line()
        entry = json.loads(as_json.line())
        assert tail.stop() == (0, "", "")
        assert as_json.stop(signal.SIGTERM) == (0, "", "")
    assert line.startswith(f"2019-06-10T11:36:32.000Z  {IMEI}  ")
    assert "event 1=1" in line
    assert entry.pop("id") == server.redis.xrange(STREAM)[0][0]
    (stored,) = server.entries()
    assert entry == stored | {"payload": json.loads(stored["payload"])}


def test_since_reads_back_by_when_redis_took_an_entry(server: ServerProcess) -> None:
    first, second = add(server.redis, speed=1), add(server.redis, speed=2)
    server.redis.xadd(STREAM, {"payload": "{}"}, id=f"{int(second.split('-')[0]) + 3_600_000}-0")
    options = ("--data-dir", str(server.data_dir), "--json")
    found = run_teltonika("tail", "--since", "1h", "--count", "2", *options)
    assert (found.returncode, found.stderr) == (0, "")
    assert [json.loads(line)["id"] for line in found.stdout.splitlines()] == [first, second]
    now_ms = int(second.split("-")[0])
    server.redis.xadd(STREAM, {"payload": "{}"}, id=f"{now_ms + 3_700_000}-0")
    at = "2100-01-01T00:00:00Z"
    entry = server.redis.xrange(STREAM, first, first)[0][1]
    late = server.redis.xadd(STREAM, entry, id="4102444800000-0")
    found = run_teltonika("tail", "--since", at, "--count", "1", *options)
    assert json.loads(found.stdout)["id"] == late


def test_an_entry_is_one_line_of_json_however_its_payload_is_written(
    server: ServerProcess,
) -> None:
    entry = server.redis.xrange(STREAM, *[add(server.redis)] * 2)[0][1]
    spread = json.dumps(json.loads(entry["payload"]), indent=1)
    server.redis.xadd(STREAM, entry | {"payload": spread})
    options = ("--data-dir", str(server.data_dir), "--since", "1h", "--count", "2", "--json")
    first, second = run_teltonika("tail", *options).stdout.splitlines()
    assert json.loads(first)["payload"] == json.loads(second)["payload"]


def test_names_give_elements_their_words_and_units(server: ServerProcess) -> None:
    add(server.redis, speed=43)
    options = ("--data-dir", str(server.data_dir), "--since", "1h", "--count", "1")
    line = run_teltonika("tail", *options).stdout
    assert line.endswith("54.70000,  -25.25000   43 km/h  event 239=1  66=12345\n")
    named = run_teltonika("tail", "--names", *options).stdout
    assert named.endswith("event Ignition 1 (Ignition On)  External Voltage 12.345 V\n")
    chosen = run_teltonika("tail", "--names", "--io", "72", *options).stdout
    assert chosen.endswith("  Dallas Temperature 1 -1.0 °C\n")
    as_json = json.loads(run_teltonika("tail", "--names", "--json", *options).stdout)
    assert [one["name"] for one in as_json["names"]][:2] == ["Ignition", "External Voltage"]


def test_only_the_devices_that_were_asked_for(server: ServerProcess) -> None:
    for imei in (OTHER, IMEI, "356307042441039"):
        add(server.redis, imei)
    options = ("--data-dir", str(server.data_dir), "--since", "1h", "--count", "2", "--json")
    found = run_teltonika("tail", "--imei", IMEI, "--imei", OTHER, *options)
    devices = [json.loads(line)["device_id"] for line in found.stdout.splitlines()]
    assert devices == [OTHER, IMEI]


def test_nothing_is_lost_while_redis_is_away(valkey: OwnValkey) -> None:
    client = valkey.start()
    with Watcher("tail", "--json", "--redis", valkey.url) as tail:
        wait_until_read(client)
        before = add(client)
        assert json.loads(tail.line())["id"] == before
        valkey.kill()
        assert "Redis is away" in tail.said()
        client = valkey.start("--databases", "1")
        added = [add(client) for _ in range(3)]
        assert [json.loads(tail.line())["id"] for _ in added] == added
        assert "Redis is back" in tail.said()
        assert tail.stop() == (0, "", "")
    client.close()


def test_what_is_no_telemetry_is_told_and_passed_over(server: ServerProcess) -> None:
    for broken in (
        {"payload": "{"},
        {"payload": '{"device_id": 7}'},
        {"payload": json.dumps({"attributes": {"1": {"__bigint": "9" * 5000}}})},
    ):
        add(server.redis, **broken)
    server.redis.xadd(STREAM, {"other": "field"})
    last = add(server.redis)
    options = ("--data-dir", str(server.data_dir), "--since", "1h", "--count", "1")
    found = run_teltonika("tail", "--json", *options)
    assert (found.returncode, json.loads(found.stdout)["id"]) == (0, last)
    assert found.stderr.count("is no telemetry: ") == 4
    assert "Traceback" not in found.stderr


def test_nothing_that_others_write_reaches_the_terminal_as_it_is(server: ServerProcess) -> None:
    add(server.redis, "\x1b[2J")
    options = ("--data-dir", str(server.data_dir), "--since", "1h", "--count", "1")
    found = run_teltonika("tail", *options)
    assert "  \\x1b[2J  " in found.stdout


def test_it_ends_when_nobody_reads_any_more(server: ServerProcess) -> None:
    add(server.redis)
    with Watcher("tail", "--since", "1h", "--data-dir", str(server.data_dir)) as tail:
        assert IMEI in tail.line()
        assert tail.process.stdout is not None
        tail.process.stdout.close()
        assert tail.process.wait(timeout=30) == 0
        assert tail.said() == ""


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--imei", "12"), "--imei: an IMEI is 15 digits"),
        (("--since", "yesterday"), "--since: expected how long ago, such as 90s"),
        (("--model", "FMB9200"), "--model: "),
        (("--redis", "http://x"), "not a Redis URL"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], said: str, server: ServerProcess) -> None:
    result = run_teltonika("tail", *arguments, "--data-dir", str(server.data_dir))
    assert result.returncode == 2
    assert said in result.stderr
    assert "Traceback" not in result.stderr


def test_where_no_redis_answers(tmp_path: Path) -> None:
    gone = run_teltonika("tail", "--redis", f"unix://{tmp_path}/nothing.sock")
    assert gone.returncode == 1
    assert gone.stderr.startswith("teltonika: Redis: ")
    assert gone.stderr.count("\n") == 1
