"""`teltonika top`, against servers and their Redis."""

import json
import os
import pty
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import redis
from own_valkey import OwnValkey
from samples import PACKET
from serving import (
    IMEI,
    STREAM,
    TELTONIKA,
    BareDevice,
    ServerProcess,
    run_teltonika,
    wait_for_entry,
)

from teltonika.server.keys import Keys
from teltonika.server.lasting_link import LastingLink
from teltonika.server.overview import FIRST_SECONDS, MAX_ENTRIES, MAX_REGISTERED, OverviewReader

StartServer = Callable[..., ServerProcess]
OTHER = "356307042441021"


def top(url: str, *options: str) -> dict[str, Any]:
    result = run_teltonika("top", "--json", "--redis", url, *options)
    assert (result.returncode, result.stderr) == (0, "")
    seen: dict[str, Any] = json.loads(result.stdout)
    return seen


def fill(client: redis.Redis, imei: str, records: int) -> None:
    pipeline = client.pipeline(transaction=False)
    for _ in range(records):
        pipeline.xadd(STREAM, {"device_id": imei, "ts": "2019-06-10T10:04:46.000Z"})
    pipeline.execute()


def test_it_sees_every_instance_and_what_its_devices_do(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    gate = start_server("--instance-id", "gate", redis_url=valkey.url)
    yard = start_server("--instance-id", "yard", data_dir="yard", redis_url=valkey.url)
    with BareDevice(gate.port) as device, BareDevice(yard.port, OTHER) as other:
        wait_for_entry(client, IMEI, "gate")
        wait_for_entry(client, OTHER, "yard")
        gate.publish("c1")
        device.command()
        device.send(PACKET)
        assert device.acknowledged() == 1
        fill(client, OTHER, 3)
        seen = top(valkey.url)
        yard.kill()
        assert other.closed_by_server()
        client.delete("instance:heartbeat:yard")  # as if its time were over
        after = top(valkey.url)
    assert [one["instance_id"] for one in seen["instances"]] == ["gate", "yard"]
    (first, second) = seen["instances"]
    assert (first["alive"], first["connections"], first["commands"]) == (True, 1, 1)
    assert (second["alive"], second["connections"], second["commands"]) == (True, 1, 0)
    assert 0 <= first["heartbeat_age_s"] < 30
    assert (seen["connections"], seen["commands"], seen["sampled"]) == (2, 1, 1.0)
    assert seen["stream_length"] == 4
    assert seen["noisiest"] == [
        {"imei": OTHER, "records_per_s": 0.3},
        {"imei": IMEI, "records_per_s": 0.1},
    ]
    assert {one["imei"] for one in seen["slowest"]} == {IMEI, OTHER}
    assert seen["ages"]["median_s"] > 86_400 * 365
    assert [one["alive"] for one in after["instances"]] == [True, False]
    client.close()


async def test_one_look_reads_no_more_than_it_says(valkey: OwnValkey) -> None:
    client = valkey.start()
    client.hset(
        "connections:registry",
        mapping=dict.fromkeys(range(MAX_REGISTERED * 3), "gate"),
    )
    reader = OverviewReader(Keys())
    async with LastingLink(valkey.url, lambda _: None) as redis:
        await redis.ask(reader.read)
        fill(client, "one", MAX_ENTRIES * 4)
        fill(client, "two", MAX_ENTRIES)
        before = client.info("stats")["total_net_output_bytes"]
        seen = await redis.ask(reader.read)
        sent = client.info("stats")["total_net_output_bytes"] - before
    client.close()
    assert seen.sampled == pytest.approx(1 / 5)
    assert seen.connections == MAX_REGISTERED * 3
    assert seen.connections_are_estimated
    assert seen.instances[0].connections == MAX_REGISTERED * 3
    assert [device.imei for device in seen.noisiest] == ["two"]  # the newest are read
    assert seen.noisiest[0].records_per_s > 2 * MAX_ENTRIES / FIRST_SECONDS
    assert sent < 1_000_000


def test_without_a_terminal_it_is_one_page(server: ServerProcess) -> None:
    with BareDevice(server.port) as device:
        device.send(PACKET)
        assert device.acknowledged() == 1
        wait_for_entry(server.redis, IMEI, server.instance_id)
        result = run_teltonika("top", "--data-dir", str(server.data_dir))
    assert (result.returncode, result.stderr) == (0, "")
    assert "1 instance, 1 connection, 0.1 records/s, 0 commands" in result.stdout
    assert IMEI in result.stdout
    assert "\x1b" not in result.stdout


def test_where_nothing_is_yet(valkey: OwnValkey) -> None:
    client = valkey.start()
    seen = top(valkey.url)
    assert (seen["instances"], seen["stream_length"], seen["ages"]) == ([], 0, None)
    assert "no new records" in run_teltonika("top", "--redis", valkey.url).stdout
    client.close()


def read_until(terminal: int, text: bytes) -> bytes:
    said = b""
    while text not in said:
        said += os.read(terminal, 65_536)
    return said


def test_on_a_terminal_it_stays_in_place_and_outlives_redis(valkey: OwnValkey) -> None:
    client = valkey.start()
    terminal, theirs = pty.openpty()
    command = [TELTONIKA, "top", "--interval", "0.2", "--redis", valkey.url]
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "80", "LINES": "24"}
    with subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment
    ) as process:
        os.close(theirs)
        try:
            said = read_until(terminal, b"\x1b[?1049h")
            fill(client, IMEI, 1)
            said += read_until(terminal, IMEI.encode())
            valkey.kill()
            said += read_until(terminal, b"Redis is away")
            client = valkey.start()
            fill(client, OTHER, 1)
            said += read_until(terminal, OTHER.encode())
            process.send_signal(signal.SIGINT)
            said += read_until(terminal, b"\x1b[?1049l")
            assert process.wait(timeout=30) == 0
        finally:
            process.kill()  # it may be waiting for somebody to read
    os.close(terminal)
    assert said.count(b"\x1b[2J") <= 1  # a page is drawn over the last, not after clearing it
    assert b"Traceback" not in said
    client.close()


def test_where_no_redis_answers(tmp_path: Path) -> None:
    gone = run_teltonika("top", "--redis", f"unix://{tmp_path}/nothing.sock")
    assert gone.returncode == 1
    assert gone.stderr.startswith("teltonika: Redis: ")
    assert gone.stderr.count("\n") == 1
