"""One node of a Redis Cluster: all keys on it, or not, or not any more."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from cluster import SLOTS, Cluster
from own_valkey import wait_until_refused
from serving import (
    IMEI,
    STREAM,
    TELTONIKA,
    BareDevice,
    ServerProcess,
    run_teltonika,
    wait_for_entry,
)
from valkey_node import Node

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet

StartServer = Callable[..., ServerProcess]
QUICK = ("--heartbeat-interval", "0.2", "--heartbeat-ttl", "1", "--janitor-interval", "0.2")


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A cluster of one node."""
    every = (0, SLOTS - 1)
    with Cluster(tmp_path / "cluster", slots=[every], replicated=False) as cluster:
        yield cluster.nodes[0]


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Cluster]:
    """A cluster of two; all keys of the server are on the first."""
    slots = [(100, SLOTS - 1), (0, 99)]
    with Cluster(tmp_path / "cluster", slots=slots, replicated=False) as cluster:
        yield cluster


def slot_of(node: Node, key: str) -> int:
    return int(str(node.ask("CLUSTER", "KEYSLOT", key)))


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(1000 * number, 0, 0, 0, 0, 0, 0, 0)])


def test_a_slot_that_moves_away_is_told_and_what_came_meanwhile_is_stored_when_it_is_back(
    two: Cluster, start_server: StartServer
) -> None:
    first, second = two.nodes
    slot = slot_of(first, STREAM)
    server = start_server("--heartbeat-interval", "0.2", redis_url=first.tcp_url)
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
        two.begin_move(slot, first, second)
        two.move_keys(slot, first, second)
        device.send(packet(1))
        wait_until_refused(first.client(), "ASK")
        two.end_move(slot, first, second)
        device.send(packet(2))
        wait_until_refused(first.client(), "MOVED")
        assert device.silent_for(0.5)
        two.move_slot(slot, second, first)
        assert [device.acknowledged(), device.acknowledged()] == [1, 1]
    assert [entry["ts"][-8:-5] for entry in server.entries()] == [":00", ":01", ":02"]
    told = [line["error"] for line in server.logged("redis_unavailable")]
    assert any(f"moving slot {slot} to 127.0.0.1:{second.port}" in error for error in told)
    assert any(
        f"slot {slot} of the Redis Cluster belongs to 127.0.0.1:{second.port}" in error
        for error in told
    )


def test_a_node_that_has_not_our_slots_is_refused_with_the_one_that_has(
    two: Cluster,
) -> None:
    first, second = two.nodes
    slot = slot_of(first, STREAM)
    options = ("serve", "--port", "0", "--instance-id", "a", "--redis")
    result = run_teltonika(*options, second.tcp_url)
    assert (result.returncode, result.stdout) == (1, "")
    assert (
        f"the Redis at {second.tcp_url} is one node of a cluster, and slot {slot}, "
        f"which {STREAM} is in, belongs to 127.0.0.1:{first.port}: name the "
        "cluster, with redis+cluster://"
    ) in result.stderr
    assert "Traceback" not in result.stderr


def test_a_hash_tag_in_the_prefix_puts_all_keys_on_one_node(
    two: Cluster, start_server: StartServer
) -> None:
    first, _ = two.nodes
    server = start_server("--key-prefix", "{fleet}:", redis_url=first.tcp_url)
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
    slots = {slot_of(first, key) for key in first.client().scan_iter()}
    assert slots == {slot_of(first, "fleet")}


@contextmanager
def emulated(server: ServerProcess) -> Iterator[None]:
    """An emulated device that sends a record now and then, and answers commands."""
    command = [TELTONIKA, "emulate", "--imei", IMEI, "--port", str(server.port), "--records", "0"]
    with subprocess.Popen([*command, "--interval", "0.05"], stdout=subprocess.DEVNULL) as emulator:
        try:
            wait_for_entry(server.redis, IMEI, server.instance_id)
            yield
        finally:
            emulator.send_signal(signal.SIGINT)


def test_a_whole_server_works_on_one_node_with_all_slots(
    node: Node, start_server: StartServer
) -> None:
    """Telemetry, a command, registry, heartbeat, allow-list, and what a dead instance left."""
    node.client().sadd("devices:allowed", IMEI)
    listed = ("--authority", "allow-list", "--strict")
    dead = start_server(*QUICK, "--instance-id", "dead", data_dir="dead", redis_url=node.tcp_url)
    with BareDevice(dead.port, "356307042441021"):
        wait_for_entry(node.client(), "356307042441021", "dead")
        dead.kill()
        dead.publish("c0")
    server = start_server(*QUICK, *listed, "--instance-id", "alive", redis_url=node.tcp_url)
    assert dead.ending("c0") == ("failed", "instance_lost")
    wait_for_entry(node.client(), "356307042441021", None)
    with emulated(server):
        server.publish("c1", "getver")
        assert server.ending("c1") == ("responded", None)
        assert node.client().xread({STREAM: "0"}, block=30_000)
    wait_for_entry(node.client(), IMEI, None)
    assert server.stop() == 0
    assert not [line for line in server.log() if "error" in line]


def test_no_script_of_ours_meets_keys_in_two_slots(node: Node, start_server: StartServer) -> None:
    server = start_server(*QUICK, "--telemetry-stream", "tele{metry}", redis_url=node.tcp_url)
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
    assert "errorstat_CROSSSLOT" not in node.client().info("errorstats")
