"""What an ACK promises, with each durability, and a Redis that cannot keep it."""

import contextlib
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import redis
from free_ports import free_port
from own_valkey import OwnValkey
from serving import STREAM, BareDevice, ServerProcess, run_teltonika

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet

StartServer = Callable[..., ServerProcess]


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(number, 0, 0, 0, 0, 0, 0, 0)])


@pytest.fixture
def replica(tmp_path: Path, valkey: OwnValkey) -> Iterator[OwnValkey]:
    """Of `valkey`, which must run by then, on a port of its own."""
    directory = tmp_path / "replica"
    directory.mkdir()
    server = OwnValkey(directory)
    yield server
    server.signal(signal.SIGCONT)
    server.kill()


def replicate(valkey: OwnValkey, replica: OwnValkey) -> tuple[redis.Redis, redis.Redis]:
    """Both clients, once the replica follows."""
    master = valkey.start()
    port = listen_on_tcp(master)
    follower = replica.start("--replicaof", "127.0.0.1", str(port))
    while master.wait(1, 30_000) < 1:
        pass
    return master, follower


def listen_on_tcp(client: redis.Redis) -> int:
    """The port that it takes; another process may be quicker with one that was free."""
    while True:
        port = free_port()
        with contextlib.suppress(redis.ResponseError):
            client.config_set("port", port)
            return port


def refused(valkey: OwnValkey, *options: str) -> str:
    result = run_teltonika(
        *("serve", "--port", "0", "--instance-id", "gate", "--redis", valkey.url, *options)
    )
    assert (result.returncode, result.stdout) == (1, "")
    assert "Traceback" not in result.stderr
    return result.stderr.splitlines()[-1]


def durability_of(server: ServerProcess) -> str:
    return str(server.logged("listening")[0]["durability"])


def test_the_embedded_valkey_is_fsync(start_server: StartServer) -> None:
    assert durability_of(start_server()) == "fsync"
    assert "needs --redis" in run_teltonika("serve", "--durability", "replica").stderr


def test_without_a_choice_it_is_the_best_there_is(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    assert durability_of(start_server(data_dir="a", redis_url=valkey.url)) == "fsync"
    client.config_set("appendonly", "no")
    weak = start_server(data_dir="b", redis_url=valkey.url)
    assert durability_of(weak) == "memory"
    assert "append-only" in weak.logged("redis_is_weak")[0]["weakness"]
    client.close()


def test_a_redis_that_cannot_do_what_is_asked_is_refused(valkey: OwnValkey) -> None:
    client = valkey.start()
    client.config_set("appendonly", "no")
    assert "keeps no append-only file" in refused(valkey, "--durability", "fsync")
    assert "0 connected replicas" in refused(valkey, "--durability", "replica")
    client.config_set("appendonly", "yes")
    client.config_set("maxmemory", "1gb")
    client.config_set("maxmemory-policy", "allkeys-lru")
    assert "maxmemory-policy allkeys-lru" in refused(valkey, "--durability", "memory")
    client.close()


def test_memory_is_what_redis_confirmed_and_no_more(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    """Without an append-only file: acknowledged, and gone with the Redis that had it."""
    client = valkey.start("--appendonly", "no")
    server = start_server("--durability", "memory", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        valkey.signal(signal.SIGSTOP)
        device.send(packet(1))
        assert device.silent_for(0.5)
        valkey.signal(signal.SIGCONT)
        assert device.acknowledged() == 1
    assert client.xlen(STREAM) == 1
    client.close()
    valkey.kill()
    with valkey.start("--appendonly", "no") as client:
        assert client.xlen(STREAM) == 0


def test_fsync_needs_a_redis_that_says_when_a_write_is_on_disk(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    client.config_set("appendfsync", "no")
    assert "appendfsync no" in refused(valkey, "--durability", "fsync")
    weak = start_server(data_dir="a", redis_url=valkey.url)
    assert durability_of(weak) == "memory"
    assert "appendfsync no" in weak.logged("redis_is_weak")[0]["weakness"]
    client.close()


def test_fsync_is_refused_by_a_redis_that_is_too_old_for_it(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start("--rename-command", "WAITAOF", "")
    told = refused(valkey, "--durability", "fsync")
    assert "unknown command 'WAITAOF'" in told
    assert "WAITAOF is in Redis since 7.2" in told
    weak = start_server(data_dir="a", redis_url=valkey.url)
    assert durability_of(weak) == "memory"
    client.close()


def test_a_redis_that_hides_its_settings_is_asked_whether_it_has_a_file(valkey: OwnValkey) -> None:
    client = valkey.start("--rename-command", "CONFIG", "secret")
    client.execute_command("secret", "SET", "appendonly", "no")
    assert "appendonly is disabled" in refused(valkey, "--durability", "fsync")
    client.close()


def test_replica_needs_as_many_replicas_as_are_asked_for(
    valkey: OwnValkey, replica: OwnValkey
) -> None:
    client, follower = replicate(valkey, replica)
    told = refused(valkey, "--durability", "replica", "--replicas", "2")
    assert "it has 1 connected replicas, and 2 are asked for" in told
    client.close()
    follower.close()


def test_fsync_waits_for_the_disk_once_for_a_batch(
    valkey: OwnValkey, start_server: StartServer
) -> None:
    client = valkey.start()
    client.config_set("appendfsync", "everysec")
    server = start_server("--durability", "fsync", redis_url=valkey.url)
    with BareDevice(server.port) as device, client.monitor() as monitor:
        for number in range(200):
            device.send(packet(number))
        for _ in range(200):
            assert device.acknowledged() == 1
        names = []
        while names.count("EVALSHA") < 200 or names[-1] != "WAITAOF":
            names.append(monitor.next_command()["command"].split()[0])
    assert 1 <= names.count("WAITAOF") < 100
    assert client.xlen(STREAM) == 200
    client.close()


def test_without_the_disk_there_is_no_ack(valkey: OwnValkey, start_server: StartServer) -> None:
    client = valkey.start()
    server = start_server("--durability", "fsync", redis_url=valkey.url)
    with BareDevice(server.port) as device:
        client.config_set("appendonly", "no")
        device.send(packet(1))
        assert device.silent_for(1)
        client.config_set("appendonly", "yes")
        assert device.acknowledged() == 1
    assert client.xlen(STREAM) == 1
    client.close()


def test_replica_waits_for_the_replica_also_for_what_is_sent_again(
    valkey: OwnValkey, replica: OwnValkey, start_server: StartServer
) -> None:
    client, follower = replicate(valkey, replica)
    servers = [
        start_server(
            *("--durability", "replica", "--drain-timeout", "1"),
            data_dir=name,
            redis_url=valkey.url,
        )
        for name in ("a", "b")
    ]
    with BareDevice(servers[0].port) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1
        assert follower.xlen(STREAM) == 1
        replica.signal(signal.SIGSTOP)
        device.send(packet(2))
        assert device.silent_for(1)
    with BareDevice(servers[1].port) as device:
        device.send(packet(2))  # known by now, and still in one place only
        assert device.silent_for(1)
        replica.signal(signal.SIGCONT)
        assert device.acknowledged() == 1
        valkey.kill()
        assert follower.xlen(STREAM) == 2
    client.close()
    follower.close()
