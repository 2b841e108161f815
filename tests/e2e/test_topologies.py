"""The topologies that other tests stand on: they come up, fail over, come back."""

import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
import redis
from cluster import SLOTS, Cluster
from sentinels import Sentinels
from topology import Topology
from valkey_node import until

from teltonika.server.clients import Client, blocking_client

sys.path.append(str(Path(__file__).parent))

import topologies


def fill(client: Client, count: int = 100) -> None:
    for number in range(count):
        client.set(f"key-{number}", number)


def read(client: Client, count: int = 100) -> list[int]:
    return [int(str(client.get(f"key-{number}"))) for number in range(count)]


@pytest.mark.parametrize("gated", [False, True], ids=["open", "gated"])
def test_a_killed_primary_of_the_cluster_is_replaced_and_comes_back_as_a_replica(
    gated: bool, tmp_path: Path
) -> None:
    with Cluster(tmp_path / "cluster", gated=gated) as cluster:
        assert len(cluster.primaries()) == 3
        with cluster.client() as client:
            fill(client)
        assert cluster.keys() == {f"key-{number}" for number in range(100)}
        old = cluster.primary_of("key-1")
        new = cluster.replica_of(old)
        with cluster.replaced(old):
            old.kill()
        assert cluster.primary_of("key-1") is new
        with cluster.client() as client:
            assert read(client) == list(range(100))
        cluster.start_again(old)
        cluster.wait_until_whole()
        assert cluster.replica_of(new) is old


@pytest.mark.parametrize("at_once", [False, True], ids=["key by key", "at once"])
def test_a_slot_moves_with_its_keys(at_once: bool, tmp_path: Path) -> None:
    with Cluster(tmp_path / "cluster") as cluster, cluster.client() as client:
        fill(client)
        slot = cluster.slot_of("key-1")
        source = cluster.primary_of(slot)
        target = next(node for node in cluster.primaries() if node is not source)
        if at_once:
            cluster.move_slot_at_once(slot, source, target)
        else:
            cluster.move_slot(slot, source, target)
        assert cluster.primary_of("key-1") is target
        assert read(client) == list(range(100))
        cluster.wait_until_whole()
        assert sum(len(range(a, b + 1)) for a, b, _ in cluster._slots(source)) == SLOTS


@pytest.mark.parametrize("gated", [False, True], ids=["open", "gated"])
def test_a_killed_primary_is_replaced_by_sentinels_and_comes_back_as_a_replica(
    gated: bool, tmp_path: Path
) -> None:
    with Sentinels(tmp_path / "sentinels", gated=gated) as sentinels:
        with sentinels.client() as client:
            fill(client)
            assert client.wait(2, 10_000) == 2
        old = sentinels.primary
        with sentinels.replaced(old):
            old.kill()
        assert sentinels.primary is not old
        with sentinels.client() as client:
            assert read(client) == list(range(100))
        sentinels.start_again(old)
        sentinels.wait_until_whole()
        assert old.info("replication")["role"] == "slave"


@pytest.mark.parametrize("kind", [Cluster, Sentinels])
def test_a_primary_that_is_cut_off_is_replaced_while_clients_still_reach_it(
    kind: type[Topology], tmp_path: Path
) -> None:
    with kind(tmp_path / "nodes", gated=True) as topology:
        (old, *_) = topology.primaries()
        client = redis.Redis(port=old.announced, decode_responses=True)
        with topology.cut_off(old), client, topology.replaced(old):
            until(lambda: old.info("replication")["connected_slaves"] == "0", "no replica")
            assert client.ping()
        topology.wait_until_whole()
        assert old.info("replication")["role"] == "slave"


@pytest.mark.parametrize("kind", [Cluster, Sentinels])
def test_a_paused_primary_is_replaced_and_then_demoted(
    kind: type[Topology], tmp_path: Path
) -> None:
    with kind(tmp_path / "nodes") as topology:
        (old, *_) = topology.primaries()
        with topology.paused(old), topology.replaced(old):
            pass
        until(lambda: old.info("replication")["role"] == "slave", "the old one follows")
        topology.wait_until_whole()


def test_every_process_ends_whatever_fails(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path / "cluster")
    with pytest.raises(ZeroDivisionError), cluster:
        processes = [node.process for node in cluster.nodes]
        cluster.nodes[0].signal(signal.SIGSTOP)
        raise ZeroDivisionError
    for process in processes:
        assert process is not None
        assert process.poll() is not None
    with suppress(redis.ConnectionError):
        redis.Redis(port=cluster.nodes[0].port).ping()
        pytest.fail("it still listens")


@pytest.mark.parametrize("topology", ["cluster", "sentinel"])
def test_one_to_try_things_with_says_where_it_is_and_ends_when_it_is_told(topology: str) -> None:
    program = [sys.executable, str(Path(topologies.__file__)), topology]
    with subprocess.Popen(program, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        nodes = [process.stdout.readline().rpartition(" ")[2] for _ in range(3)]
        with blocking_client(url) as client:
            assert client.set("key", "value")
        process.terminate()
    assert process.returncode == 0
    assert not any(psutil.pid_exists(int(pid)) for pid in nodes)
