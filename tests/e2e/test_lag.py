"""`teltonika lag`, against streams counted by hand."""

import json
import os
import pty
import signal
import subprocess

import redis
from own_valkey import OwnValkey
from serving import IMEI, STREAM, TELTONIKA, run_teltonika
from telemetry_writing import write

from teltonika.server.keys import Keys


def read_some(client: redis.Redis) -> None:
    """Of ten records five are read, and two of them acknowledged."""
    write(client, IMEI, range(10))
    client.xgroup_create(STREAM, "billing", "0")
    client.xgroup_create(STREAM, "map", "0")
    ((_, entries),) = client.xreadgroup("billing", "a", {STREAM: ">"}, count=5)
    client.xack(STREAM, "billing", *[entry_id for entry_id, _ in entries[:2]])


def test_where_nothing_is_yet_it_says_so(valkey: OwnValkey) -> None:
    valkey.start().close()
    result = run_teltonika("lag", "--redis", valkey.url)
    assert (result.returncode, result.stdout) == (0, "No group reads the stream.\n")
    result = run_teltonika("lag", "--redis", valkey.url, "--json", "--max-lag", "0")
    assert (result.returncode, result.stdout) == (0, "")
    missing = ("--group", "billing", "--max-lag", "0")
    result = run_teltonika("lag", "--redis", valkey.url, *missing)
    assert result.returncode == 1
    assert "no group billing reads the telemetry stream" in result.stderr


def test_each_group_is_told_for_a_person_and_for_a_machine(valkey: OwnValkey) -> None:
    with valkey.start() as client:
        read_some(client)
    result = run_teltonika("lag", "--redis", valkey.url)
    assert result.returncode == 0
    rows = [line.split() for line in result.stdout.splitlines()]
    assert ["billing", STREAM, "5", "3"] in [row[:4] for row in rows]
    assert ["map", STREAM, "10", "0"] in [row[:4] for row in rows]
    assert ["billing", "a", "3"] in [row[:3] for row in rows]
    result = run_teltonika("lag", "--redis", valkey.url, "--json", "--group", "billing")
    (told,) = map(json.loads, result.stdout.splitlines())
    assert (told["group"], told["lag"], told["pending"]) == ("billing", 5, 3)
    assert [one["name"] for one in told["shards"][0]["consumers"]] == ["a"]


def test_a_monitor_gets_exit_code_1_when_a_group_is_further_behind(valkey: OwnValkey) -> None:
    with valkey.start() as client:
        read_some(client)
    common = ("lag", "--redis", valkey.url, "--max-lag")
    assert run_teltonika(*common, "5", "--group", "billing").returncode == 0
    result = run_teltonika(*common, "4")
    assert result.returncode == 1
    assert "billing is 5 behind, map is 10 behind; at most 4 are allowed" in result.stderr


def test_shards_are_those_that_are_recorded_or_those_that_are_asked_for(
    valkey: OwnValkey,
) -> None:
    keys = Keys(stream_shards=2)
    with valkey.start() as client:
        read_some(client)
        write(client, IMEI, range(3), keys)
        for shard in keys.shards:
            client.xgroup_create(shard.telemetry, "billing", "0", mkstream=True)
        client.set(keys.shards_recorded, 2)
    common = ("lag", "--redis", valkey.url, "--json", "--group", "billing")
    (now,) = map(json.loads, run_teltonika(*common).stdout.splitlines())
    assert [one["stream"] for one in now["shards"]] == [one.telemetry for one in keys.shards]
    assert (now["lag"], now["pending"]) == (3, 0)
    (before,) = map(json.loads, run_teltonika(*common, "--stream-shards", "1").stdout.splitlines())
    assert (before["lag"], before["pending"]) == (5, 3)


def test_a_redis_that_is_not_there_is_told_in_a_sentence(valkey: OwnValkey) -> None:
    result = run_teltonika("lag", "--redis", valkey.url)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith("teltonika: Redis: ")
    assert "Traceback" not in result.stderr


def test_a_page_stays_and_is_drawn_again(valkey: OwnValkey) -> None:
    with valkey.start() as client:
        read_some(client)
        ours, its = pty.openpty()
        command = [TELTONIKA, "lag", "--redis", valkey.url, "--watch", "--interval", "0.2"]
        with subprocess.Popen(command, stdout=its, stderr=its) as page:
            os.close(its)
            seen = ""
            while "map" not in seen:
                seen += os.read(ours, 65_536).decode()
            client.xgroup_create(STREAM, "new", "0")
            while "new" not in seen.replace("map", ""):
                seen += os.read(ours, 65_536).decode()
            page.send_signal(signal.SIGINT)
            assert page.wait(timeout=20) == 0
        os.close(ours)


def test_a_page_and_one_look_do_not_go_together() -> None:
    result = run_teltonika("lag", "--watch", "--json", "--redis", "redis://127.0.0.1:1")
    assert result.returncode == 2
