"""A Redis that is there and does not take writes: nothing is acknowledged, and all stored once."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
from loading_valkey import hurry, load_slowly, start_with_much_to_load, wait_until_refusing
from own_valkey import OwnValkey, wait_until_refused
from serving import (
    IMEI,
    RESPONSES,
    STREAM,
    BareDevice,
    ServerProcess,
    run_teltonika,
    wait_for_entry,
)

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet

StartServer = Callable[..., ServerProcess]
OTHERS = [f"35630704244{number:04d}" for number in range(2000, 2004)]


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(1000 * number, 0, 0, 0, 0, 0, 0, 0)])


def become_replica(client: redis.Redis) -> None:
    """Of nobody: as after a failover in which another node became the master."""
    client.replicaof("127.0.0.1", "1")


def fail_to_save(client: redis.Redis) -> None:
    """Its dump cannot be put in its place: what stands there is a directory."""
    (Path(client.config_get("dir")["dir"]) / "dump.rdb" / "in-the-way").mkdir(parents=True)
    client.config_set("save", "3600 1000000")
    client.bgsave()
    while client.info("persistence")["rdb_last_bgsave_status"] != "err":
        pass


def run_out_of_memory(client: redis.Redis) -> None:
    """Nothing expires that it could evict; one that evicts nothing is given nothing to refuse."""
    client.config_set("maxmemory-policy", "volatile-lru")
    client.config_set("maxmemory", 1)


REFUSALS = {
    "READONLY": (become_replica, lambda client: client.replicaof("NO", "ONE"), "read only replica"),
    "OOM": (
        run_out_of_memory,
        lambda client: client.config_set("maxmemory", 0),
        "maxmemory",
    ),
    "NOREPLICAS": (
        lambda client: client.config_set("min-replicas-to-write", 1),
        lambda client: client.config_set("min-replicas-to-write", 0),
        "Not enough good replicas",
    ),
    "MISCONF": (fail_to_save, lambda client: client.config_set("save", ""), "unable to persist"),
}


@pytest.mark.parametrize("code", REFUSALS)
def test_what_is_refused_is_not_acknowledged_and_stored_once_when_it_is_taken(
    code: str, valkey: OwnValkey, start_server: StartServer
) -> None:
    break_it, mend_it, words = REFUSALS[code]
    client = valkey.start()
    server = start_server("--durability", "memory", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
        break_it(client)
        device.send(packet(1) + packet(2))
        wait_until_refused(client, code)
        assert device.silent_for(0.5)
        mend_it(client)
        assert [device.acknowledged(), device.acknowledged()] == [1, 1]
    assert [entry["ts"][-8:-5] for entry in server.entries()] == [":00", ":01", ":02"]
    assert words in server.logged("redis_unavailable")[0]["error"]
    client.close()


def test_while_redis_loads_nothing_is_acknowledged_and_the_log_says_so_in_a_few_lines(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = start_with_much_to_load(valkey)
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
        load_slowly(valkey)
        device.send(packet(1))
        wait_until_refusing(client)
        assert device.silent_for(0.8)
        hurry(client)
        assert device.acknowledged() == 1
    assert [entry["ts"][-8:-5] for entry in server.entries()] == [":00", ":01"]
    told = [line["error"] for line in server.logged("redis_unavailable")]
    assert any("loading the dataset in memory" in error for error in told)
    assert len(told) < 10
    client.close()


def test_a_server_that_starts_while_redis_loads_waits(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = start_with_much_to_load(valkey)
    load_slowly(valkey)
    hurrying = threading.Thread(target=hurry_once_refusing, args=(client,))
    hurrying.start()
    server = start_server(redis_url=valkey.url)
    hurrying.join()
    assert len(server.logged("redis_is_loading")) == 1
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
    client.close()


def hurry_once_refusing(client: redis.Redis) -> None:
    wait_until_refusing(client)
    hurry(client)


def test_while_a_foreign_script_runs_nothing_is_acknowledged(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    client.config_set("busy-reply-threshold", 50)
    server = start_server(redis_url=valkey.url)
    with BareDevice(server.port) as device, valkey.client() as foreign:
        endless = threading.Thread(target=run_until_killed, args=(foreign,))
        endless.start()
        while not is_busy(client):
            pass
        device.send(packet(0))
        assert device.silent_for(1)
        client.script_kill()
        endless.join()
        assert device.acknowledged() == 1
    assert client.xlen(STREAM) == 1
    assert "BUSY" in server.logged("redis_unavailable")[0]["error"]
    client.close()


def run_until_killed(client: redis.Redis) -> None:
    with pytest.raises(redis.ResponseError, match="killed"):
        client.eval("while true do end", 0)


def is_busy(client: redis.Redis) -> bool:
    try:
        client.ping()
    except redis.ResponseError as error:
        return str(error).startswith("BUSY")
    return False


def test_scripts_flushed_in_mid_stream_lose_double_and_delay_nothing(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server(redis_url=valkey.url)
    devices = [BareDevice(server.port, imei) for imei in OTHERS]
    for number in range(300):
        for device in devices:
            device.send(packet(number))
        if number % 60 == 30:
            client.script_flush()
    for device in devices:
        assert sum(device.acknowledged() for _ in range(300)) == 300
        device.socket.close()
    for imei in OTHERS:
        stamps = [entry["ts"] for entry in server.entries() if entry["device_id"] == imei]
        assert len(stamps) == 300
        assert stamps == sorted(set(stamps))
    told = server.logged("redis_unavailable")
    assert told
    assert all("forgotten this server's scripts" in line["error"] for line in told)
    assert max(line["failures"] for line in told) <= 2
    client.close()


def test_scripts_flushed_hold_up_no_command_registry_or_heartbeat(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server("--heartbeat-interval", "0.2", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        for command_id in ("c1", "c2", "c3"):
            client.script_flush()
            server.publish(command_id)
            command = device.command()
            client.script_flush()
            device.answer(command)
            assert server.ending(command_id) == ("responded", None)
        client.script_flush()
        with BareDevice(server.port, OTHERS[0]):
            wait_for_entry(client, OTHERS[0], server.instance_id)
        wait_for_entry(client, OTHERS[0], None)
        client.script_flush()
        heartbeat = f"instance:heartbeat:{server.instance_id}"
        client.delete(heartbeat)
        while not client.exists(heartbeat):
            pass
    assert [status["status"] for status in server.statuses("c1")] == ["delivered", "responded"]
    client.close()


def test_responses_of_another_type_hold_up_neither_heartbeat_nor_telemetry(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server("--heartbeat-interval", "0.2", redis_url=valkey.url)
    client.set(RESPONSES, "no stream")
    heartbeat = f"instance:heartbeat:{server.instance_id}"
    with BareDevice(server.port) as device:
        server.publish("c1")
        device.answer(device.command())
        server.wait_for_log("redis_refused")
        client.delete(heartbeat)
        while not client.exists(heartbeat):
            pass
        device.send(packet(0))
        assert device.acknowledged() == 1
        client.delete(RESPONSES)
        assert server.ending("c1") == ("responded", None)
        while client.xlen(server.outbound):  # its entry is let go of behind its status
            pass
    (line, *_) = server.logged("redis_refused")
    assert (line["level"], line["keys"][0]) == ("error", RESPONSES)
    client.close()


def test_a_registry_of_another_type_is_written_when_it_is_mended(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server("--heartbeat-interval", "0.2", redis_url=valkey.url)
    client.set("connections:registry", "no hash")
    with BareDevice(server.port) as device:
        server.wait_for_log("redis_refused")
        device.send(packet(0))
        assert device.acknowledged() == 1
        client.delete("connections:registry")
        wait_for_entry(client, IMEI, server.instance_id)
        runs = "{connections:registry}:runs"
        client.set(runs, "no hash")
        device.leave()
        client.config_resetstat()
        wait_until_refused(client, "WRONGTYPE")  # a heartbeat later
        assert client.hget("connections:registry", IMEI) == server.instance_id
        client.delete(runs)
        wait_for_entry(client, IMEI, None)
    client.close()


def test_a_telemetry_stream_of_another_type_is_an_error_until_it_is_mended(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    server = start_server(redis_url=valkey.url)
    client.set(STREAM, "no stream")
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.silent_for(0.5)
        client.delete(STREAM)
        assert device.acknowledged() == 1
    assert client.xlen(STREAM) == 1
    line = server.logged("redis_unavailable")[0]
    assert (line["level"], line["stream"]) == ("error", STREAM)
    assert line["error"].startswith("WRONGTYPE")
    client.close()


@pytest.mark.parametrize("key", ["{connections:registry}:runs", "devices:allowed"])
def test_a_start_on_keys_of_another_type_is_one_sentence(key: str, valkey: OwnValkey) -> None:
    client = valkey.start()
    client.set(key, "neither hash nor set")
    options = ("--port", "0", "--authority", "allow-list", "--instance-id", "a")
    result = run_teltonika("serve", *options, "--redis", valkey.url)
    assert result.returncode == 1
    assert key in result.stderr
    assert "WRONGTYPE" in result.stderr
    assert "Traceback" not in result.stderr
    client.close()
