"""One node of a Redis Cluster: all keys on it, or not, or not any more."""

import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from free_ports import free_port
from own_valkey import OwnValkey, wait_until_refused
from serving import (
    IMEI,
    STREAM,
    TELTONIKA,
    BareDevice,
    ServerProcess,
    run_teltonika,
    wait_for_entry,
)

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet

StartServer = Callable[..., ServerProcess]
QUICK = ("--heartbeat-interval", "0.2", "--heartbeat-ttl", "1", "--janitor-interval", "0.2")
SLOTS = 16_384


class Node:
    """A Valkey in cluster mode, with a TCP port and one for the other nodes."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self.valkey = OwnValkey(directory)
        self.port, self.bus_port = free_port(), free_port()
        self.url = f"redis://127.0.0.1:{self.port}"

    def start(self, first_slot: int, last_slot: int) -> None:
        self.client = self.valkey.start(
            *("--cluster-enabled", "yes", "--bind", "127.0.0.1", "--port", str(self.port)),
            *("--cluster-port", str(self.bus_port), "--cluster-require-full-coverage", "no"),
        )
        self.cluster("ADDSLOTSRANGE", first_slot, last_slot)

    def cluster(self, *arguments: str | int) -> object:
        return self.client.execute_command(f"CLUSTER {arguments[0]}", *arguments[1:])

    def wait_until_ok(self) -> None:
        while "'cluster_state': 'ok'" not in str(self.cluster("INFO")):
            pass

    @property
    def id(self) -> str:
        return str(self.cluster("MYID"))

    def close(self) -> None:
        self.valkey.kill()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    """A cluster of one node."""
    with closing(Node(tmp_path / "node")) as node:
        node.start(0, SLOTS - 1)
        node.wait_until_ok()
        yield node


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[tuple[Node, Node]]:
    """A cluster of two; all keys of the server are on the first."""
    with (
        closing(Node(tmp_path / "first")) as first,
        closing(Node(tmp_path / "second")) as second,
    ):
        first.start(100, SLOTS - 1)
        second.start(0, 99)
        first.cluster("MEET", "127.0.0.1", second.port, second.bus_port)
        for node, other in ((first, second), (second, first)):
            while other.id not in str(node.cluster("NODES")):
                pass
            node.wait_until_ok()
        yield first, second


def begin_move(slot: int, source: Node, target: Node) -> None:
    """From now on what is not at the source any more is asked for at the target."""
    target.cluster("SETSLOT", slot, "IMPORTING", source.id)
    source.cluster("SETSLOT", slot, "MIGRATING", target.id)


def move_keys(slot: int, source: Node, target: Node) -> None:
    keys = source.cluster("GETKEYSINSLOT", slot, 100)
    assert isinstance(keys, list)
    migrate = ("MIGRATE", "127.0.0.1", target.port, "", 0, 5_000, "KEYS", *keys)
    assert source.client.execute_command(*migrate) == "OK"


def end_move(slot: int, source: Node, target: Node) -> None:
    for node in (target, source):
        node.cluster("SETSLOT", slot, "NODE", target.id)


def move(slot: int, source: Node, target: Node) -> None:
    begin_move(slot, source, target)
    move_keys(slot, source, target)
    end_move(slot, source, target)


def slot_of(node: Node, key: str) -> int:
    slot = node.cluster("KEYSLOT", key)
    assert isinstance(slot, int)
    return slot


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(1000 * number, 0, 0, 0, 0, 0, 0, 0)])


def test_a_slot_that_moves_away_is_told_and_what_came_meanwhile_is_stored_when_it_is_back(
    nodes: tuple[Node, Node], start_server: StartServer
) -> None:
    first, second = nodes
    slot = slot_of(first, STREAM)
    server = start_server("--heartbeat-interval", "0.2", redis_url=first.url)
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
        begin_move(slot, first, second)
        move_keys(slot, first, second)
        device.send(packet(1))
        wait_until_refused(first.client, "ASK")
        end_move(slot, first, second)
        device.send(packet(2))
        wait_until_refused(first.client, "MOVED")
        assert device.silent_for(0.5)
        move(slot, second, first)
        assert [device.acknowledged(), device.acknowledged()] == [1, 1]
    assert [entry["ts"][-8:-5] for entry in server.entries()] == [":00", ":01", ":02"]
    told = [line["error"] for line in server.logged("redis_unavailable")]
    assert any(f"moving slot {slot} to 127.0.0.1:{second.port}" in error for error in told)
    assert any(
        f"slot {slot} of the Redis Cluster belongs to 127.0.0.1:{second.port}" in error
        for error in told
    )


def test_a_node_that_has_not_our_slots_is_refused_with_the_one_that_has(
    nodes: tuple[Node, Node],
) -> None:
    first, second = nodes
    options = ("serve", "--port", "0", "--instance-id", "a", "--redis")
    result = run_teltonika(*options, second.url)
    assert (result.returncode, result.stdout) == (1, "")
    assert (
        f"the Redis at {second.url} is one node of a cluster, and slot {slot_of(first, STREAM)}, "
        f"which {STREAM} is in, belongs to 127.0.0.1:{first.port}: name the "
        "cluster, with redis+cluster://"
    ) in result.stderr
    assert "Traceback" not in result.stderr


def test_a_hash_tag_in_the_prefix_puts_all_keys_on_one_node(
    nodes: tuple[Node, Node], start_server: StartServer
) -> None:
    first, _ = nodes
    server = start_server("--key-prefix", "{fleet}:", redis_url=first.url)
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
    slots = {slot_of(first, key) for key in first.client.scan_iter()}
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
    node.client.sadd("devices:allowed", IMEI)
    listed = ("--authority", "allow-list", "--strict")
    dead = start_server(*QUICK, "--instance-id", "dead", data_dir="dead", redis_url=node.url)
    with BareDevice(dead.port, "356307042441021"):
        wait_for_entry(node.client, "356307042441021", "dead")
        dead.kill()
        dead.publish("c0")
    server = start_server(*QUICK, *listed, "--instance-id", "alive", redis_url=node.url)
    assert dead.ending("c0") == ("failed", "instance_lost")
    wait_for_entry(node.client, "356307042441021", None)
    with emulated(server):
        server.publish("c1", "getver")
        assert server.ending("c1") == ("responded", None)
        assert node.client.xread({STREAM: "0"}, block=30_000)
    wait_for_entry(node.client, IMEI, None)
    assert server.stop() == 0
    assert not [line for line in server.log() if "error" in line]


def test_no_script_of_ours_meets_keys_in_two_slots(node: Node, start_server: StartServer) -> None:
    server = start_server(*QUICK, "--telemetry-stream", "tele{metry}", redis_url=node.url)
    with BareDevice(server.port) as device:
        device.send(packet(0))
        assert device.acknowledged() == 1
    assert "errorstat_CROSSSLOT" not in node.client.info("errorstats")
