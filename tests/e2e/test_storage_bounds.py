"""What devices can fill: streams in bytes, the memory of Redis, the embedded Valkey's disk."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from own_valkey import OwnValkey
from scraping import ask, scrape
from serving import IMEI, MESSAGES, STREAM, BareDevice, ServerProcess, run_teltonika
from small_disk import NoSmallDiskError, SmallDisk, small_disk

from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    CommandMessage,
    IoElement,
    IoElements,
    MessageType,
    encode_message,
    encode_packet,
)

StartServer = Callable[..., ServerProcess]
MIB = 1 << 20
METRICS = ("--metrics", "0")


def packet(number: int, size: int = 0) -> bytes:
    """One record, with a value of so many bytes."""
    io = IoElements.of([IoElement.variable(1, bytes(size))] if size else [])
    record = AvlRecord(1_000 * number, 0, 0, 0, number % 30_000, 0, 0, 0, io=io)
    return encode_packet(AVL_CODECS.by_name("8E"), [record])


def send(device: BareDevice, numbers: range, size: int = 0) -> None:
    """And have each acknowledged."""
    for number in numbers:
        device.send(packet(number, size))
    for _ in numbers:
        assert device.acknowledged() == 1


def size_of(client: redis.Redis, key: str) -> int:
    return int(client.memory_usage(key, samples=0) or 0)


def wait_until_no_larger(client: redis.Redis, key: str, size: int) -> None:
    while size_of(client, key) > size:
        pass


def test_large_records_leave_no_more_bytes_on_the_stream_than_it_may_have(
    start_server: StartServer,
) -> None:
    server = start_server("--stream-max-bytes", "32MiB", "--max-device-rate", "0", *METRICS)
    with BareDevice(server.port) as device:
        send(device, range(2_000))
        for turn in range(4):
            first = 2_000 + 200 * turn
            send(device, range(first, first + 200), 60_000)  # 16 MB
            wait_until_no_larger(server.redis, STREAM, 24 * MIB)
    assert size_of(server.redis, STREAM) > 8 * MIB
    (_, newest) = server.redis.xrevrange(STREAM, count=1)[0]
    assert json.loads(newest["payload"])["altitude"] == 2_799
    assert scrape(server).value("teltonika_limit_hits_total", limit="stream_max_bytes") >= 1


def test_texts_leave_no_more_bytes_on_their_stream_than_it_may_have(
    start_server: StartServer,
) -> None:
    server = start_server("--stream-max-bytes", "32MiB")
    text = CommandMessage(12, MessageType.RESPONSE, b"x" * 60_000)
    with BareDevice(server.port) as device:
        for _ in range(60):  # 180 kB each, as text and in hex
            device.send(encode_message(text))
        while server.redis.xinfo_stream(MESSAGES)["entries-added"] < 60:
            pass
        wait_until_no_larger(server.redis, MESSAGES, 4 * MIB)
    assert server.redis.xlen(MESSAGES) > 0


def test_streams_that_fit_are_never_trimmed_for_their_bytes(start_server: StartServer) -> None:
    server = start_server("--stream-max-bytes", "32MiB", *METRICS)
    with BareDevice(server.port) as device:
        send(device, range(100), 60_000)
    with server.redis.monitor() as monitor:
        looks = 0
        while looks < 3:
            words = monitor.next_command()["command"].split()
            looks += words[0] == "INFO"
            assert words[0] != "XTRIM"
    assert server.redis.xlen(STREAM) == 100


def test_a_stream_is_trimmed_while_redis_is_out_of_memory(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    start_server("--stream-max-bytes", "16MiB", redis_url=valkey.url)
    with client.pipeline(transaction=True) as at_once:
        for _ in range(200):
            at_once.xadd(STREAM, {"payload": "x" * 100_000})
        at_once.config_set("maxmemory", 1)
        at_once.execute()
    wait_until_no_larger(client, STREAM, 12 * MIB)
    assert client.xlen(STREAM) > 50
    client.close()


def test_without_memory_nothing_is_acknowledged_and_it_goes_on_by_itself(
    start_server: StartServer,
) -> None:
    server = start_server("--heartbeat-interval", "0.2", *METRICS)
    limit = int(server.redis.config_get("maxmemory")["maxmemory"])
    assert limit > 0
    with BareDevice(server.port) as device:
        send(device, range(100))
        server.redis.setrange("ballast", 96 * MIB, "x")
        used = server.redis.info("memory")["used_memory"]
        server.redis.config_set("maxmemory", used + 4 * MIB)  # of which a 16th must be left
        server.wait_for_log("storage_full")
        device.send(packet(100) + packet(101))
        assert device.silent_for(1)
        status, complaint = ask(server, "/readyz")
        assert (status, "memory are left" in complaint) == (503, True)
        assert scrape(server).value("teltonika_storage_full", of="memory") == 1
        heartbeat = f"instance:heartbeat:{server.instance_id}"
        while json.loads(server.redis.get(heartbeat))["short_of"] != ["memory"]:
            pass
        top = run_teltonika("top", "--once", "--data-dir", str(server.data_dir))
        assert "no memory left" in top.stdout
        server.redis.config_set("maxmemory", limit)
        assert [device.acknowledged(), device.acknowledged()] == [1, 1]
    assert [payload["altitude"] for payload in server.payloads()] == list(range(102))
    (line,) = server.logged("storage_full")
    assert (line["level"], line["of"]) == ("error", "memory")
    server.wait_for_log("storage_free_again")
    assert ask(server, "/readyz")[0] == 200
    seen = scrape(server)
    assert seen.value("teltonika_storage_full", of="memory") == 0
    assert seen.value("teltonika_limit_hits_total", limit="maxmemory") == 1


def test_a_redis_that_evicts_is_never_short_of_memory(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start("--maxmemory", "1gb", "--maxmemory-policy", "volatile-lru")
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port) as device, client.monitor() as monitor:
        client.config_set("maxmemory", client.info("memory")["used_memory"] + 1_000_000)
        looks = 0
        while looks < 3:
            looks += monitor.next_command()["command"] == "INFO memory"
        send(device, range(3))
    assert server.logged_so_far("storage_full") == []
    client.close()


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    """It is where the embedded Valkey of `LONG` has its files."""
    try:
        with small_disk(tmp_path / LONG / "valkey", 32 * MIB) as disk:
            yield disk
    except NoSmallDiskError as error:
        pytest.skip(str(error))


LONG = "long" * 30
"""A data directory's name with which the Valkey's socket is elsewhere: not on the small disk."""


def test_without_disk_nothing_is_acknowledged_and_it_goes_on_by_itself(
    disk: SmallDisk, start_server: StartServer
) -> None:
    program = (*disk.program, *ServerProcess.PROGRAM)
    options = ("--min-free-disk", "4MiB", *METRICS)
    server = start_server(*options, data_dir=LONG, program=program)
    with BareDevice(server.port) as device:
        send(device, range(10))
        assert disk.resize(disk.used + 3 * MIB)
        server.wait_for_log("storage_full")
        device.send(packet(10) + packet(11))
        device.send(encode_message(CommandMessage(12, MessageType.RESPONSE, b"text")))
        assert device.silent_for(1)
        assert server.redis.xlen(MESSAGES) == 0
        assert scrape(server).value("teltonika_storage_full", of="disk") == 1
        assert "disk are left" in ask(server, "/readyz")[1]
        assert disk.resize(32 * MIB)
        assert [device.acknowledged(), device.acknowledged()] == [1, 1]
        while not server.redis.xlen(MESSAGES):
            pass
    assert [payload["altitude"] for payload in server.payloads(IMEI)] == list(range(12))
    (line,) = server.logged("storage_full")
    assert (line["of"], line["needed_bytes"]) == ("disk", 4 * MIB)
    assert server.logged_so_far("valkey_died") == []


def test_workers_watch_the_disk_of_their_supervisors_valkey(start_server: StartServer) -> None:
    more_than_there_is = str(shutil.disk_usage("/").total * 2)
    server = start_server("--workers", "2", "--min-free-disk", more_than_there_is, *METRICS)
    server.wait_for_log("storage_full")
    while len(server.logged_so_far("storage_full")) < 2:
        pass
    assert {line["worker"] for line in server.logged("storage_full")} == {1, 2}
    with BareDevice(server.port, None) as device:
        device.send(b"\x00\x0f" + IMEI.encode())
        assert device.silent_for(1)
