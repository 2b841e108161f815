"""A server, and all commands that look at it, on a Redis Cluster of three primaries."""

import contextlib
import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import pytest
from cluster import Cluster
from redis.cluster import RedisCluster
from redis.exceptions import ConnectionError as RedisConnectionError
from sending_fleet import check_each_is_stored_once, sending_fleet
from serving import (
    IMEI,
    RESPONSES,
    TELTONIKA,
    BareDevice,
    ServerProcess,
    run_teltonika,
    wait_for_log_of_any,
)
from valkey_node import Node, until

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet
from teltonika.server.deployment import deployment_of
from teltonika.server.keys import Keys

StartServer = Callable[..., ServerProcess]
KEYS = Keys(stream_shards=3)
SHARDS = ("--stream-shards", "3", "--durability", "replica")
QUICK = ("--heartbeat-interval", "0.2", "--heartbeat-ttl", "1", "--janitor-interval", "0.2")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """For tests that leave every node as it was."""
    with Cluster(tmp_path_factory.mktemp("cluster") / "nodes") as cluster:
        yield cluster


@pytest.fixture
def client(shared: Cluster) -> Iterator[RedisCluster]:
    with shared.client() as client:
        for primary in client.get_primaries():
            client.flushall(target_nodes=primary)
        yield client


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path / "nodes") as cluster:
        yield cluster


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(1000 * number, 0, 0, 0, 0, 0, 0, 0)])


def imeis_on(shard: int) -> Iterator[str]:
    """Devices whose records go there."""
    imeis = (f"3563070424{number:05}" for number in range(1_000))
    return (imei for imei in imeis if KEYS.shard_of(imei) == shard)


def imei_on(shard: int) -> str:
    return next(imeis_on(shard))


def on_cluster(server: ServerProcess, client: RedisCluster) -> ServerProcess:
    """A server whose keys are looked for wherever they are."""
    server.redis.close()
    server.redis = client  # type: ignore[assignment]  # all that is asked of it both can
    return server


def check_each_once(client: RedisCluster) -> None:
    check_each_is_stored_once(
        fields for shard in KEYS.shards for _, fields in client.xrange(shard.telemetry)
    )


def some_are_stored(client: RedisCluster, shard: int) -> Callable[[], bool]:
    """More than now, and what is there is not all."""
    stream = KEYS.shards[shard].telemetry
    before = client.xlen(stream)
    return lambda: client.xlen(stream) > before + 100


def test_a_killed_primary_costs_no_record_and_doubles_none(
    cluster: Cluster, start_server: StartServer
) -> None:
    server = start_server(*SHARDS, "--workers", "2", redis_url=cluster.url)
    with cluster.client() as client, sending_fleet(server):
        until(some_are_stored(client, 0), "the fleet sends")
        primary = cluster.primary_of(KEYS.shards[0].telemetry)
        with cluster.replaced(primary):
            primary.kill()
        cluster.start_again(primary)
    with cluster.client() as client:
        check_each_once(client)
    assert server.logged("redis_unavailable")
    assert server.stop() == 0


def test_a_command_that_ended_on_a_primary_that_was_cut_off_has_its_end_on_the_promoted_one(
    tmp_path: Path, start_server: StartServer
) -> None:
    """Its entry is on another primary: let go of, it would be gone with its end."""
    with Cluster(tmp_path / "nodes", gated=True) as cluster, cluster.client() as client:
        server = start_server(*SHARDS, "--instance-id", "c", redis_url=cluster.url)
        server = on_cluster(server, client)
        primary = cluster.primary_of(RESPONSES)
        assert cluster.primary_of(server.outbound) is not primary
        with BareDevice(server.port) as device:
            server.publish("c1")
            command = device.command()
            with cluster.cut_off(primary), cluster.replaced(primary):
                device.answer(command)
            client.nodes_manager.initialize()
            assert server.ending("c1") == ("responded", None)


def other_primary(cluster: Cluster, node: Node) -> Node:
    return next(primary for primary in cluster.primaries() if primary is not node)


def length_while_it_moves(target: Node, stream: str) -> int:
    with target.client() as client, client.pipeline(transaction=False) as pipeline:
        pipeline.execute_command("ASKING")
        pipeline.xlen(stream)
        return int(pipeline.execute()[-1])


@pytest.mark.parametrize("at_once", [False, True], ids=["key by key", "at once"])
def test_a_slot_that_moves_is_followed(
    at_once: bool, shared: Cluster, client: RedisCluster, start_server: StartServer
) -> None:
    server = start_server(*SHARDS, redis_url=shared.url)
    stream = KEYS.shards[1].telemetry
    slot, source = shared.slot_of(stream), shared.primary_of(stream)
    target = other_primary(shared, source)
    with sending_fleet(server):
        until(some_are_stored(client, 1), "the fleet sends")
        if at_once:
            shared.move_slot_at_once(slot, source, target)
            client.nodes_manager.initialize()
            until(some_are_stored(client, 1), "it is stored at the target")
        else:
            shared.begin_move(slot, source, target)
            shared.move_keys(slot, source, target)
            wait_for_log_of_any([server], "redis_unavailable")
            shared.move_keys(slot, source, target)
            before = length_while_it_moves(target, stream)
            until(
                lambda: length_while_it_moves(target, stream) > before,
                "it is stored at the target before that has the slot",
            )
            shared.end_move(slot, source, target)
            client.nodes_manager.initialize()
            until(some_are_stored(client, 1), "it is stored at the target")
        assert shared.primary_of(stream) is target
    check_each_once(client)
    server.stop()
    shared.move_slot(slot, target, source)


def test_a_node_that_stands_still_delays_only_its_own_devices(
    shared: Cluster, client: RedisCluster, start_server: StartServer
) -> None:
    server = start_server("--stream-shards", "3", redis_url=shared.url)
    slow = shared.primary_of(KEYS.shards[0].telemetry)
    quick = next(
        number for number in (1, 2) if shared.primary_of(KEYS.shards[number].telemetry) is not slow
    )
    with (
        BareDevice(server.port, imei_on(0)) as delayed,
        BareDevice(server.port, imei_on(quick)) as device,
    ):
        with shared.paused(slow):
            delayed.send(packet(1))
            for number in range(20):
                device.send(packet(number))
                assert device.acknowledged() == 1
            assert delayed.silent_for(0.1)
        assert delayed.acknowledged() == 1
    shared.wait_until_whole()


def test_what_one_node_does_not_take_holds_up_only_its_own_devices(
    tmp_path: Path, start_server: StartServer
) -> None:
    """It stands still until no more is read of them. There is no replica to take its place."""
    few = ("--stream-shards", "3", "--max-unconfirmed-bytes", str(3 * 65_536))
    packets, more = 200, 20
    with (
        Cluster(tmp_path / "nodes", replicated=False) as cluster,
        cluster.client() as client,
        contextlib.ExitStack() as stack,
    ):
        server = start_server(*few, redis_url=cluster.url)

        def connected(imei: str) -> BareDevice:
            return stack.enter_context(BareDevice(server.port, imei))

        slow = cluster.primary_of(KEYS.shards[0].telemetry)
        assert all(cluster.primary_of(KEYS.shards[k].telemetry) is not slow for k in (1, 2))
        delayed = [connected(imei) for imei in islice(imeis_on(0), 4)]
        ones, twos = imeis_on(1), imeis_on(2)
        devices = [connected(next(ones)), connected(next(twos))]
        with cluster.paused(slow):
            for device in delayed:
                device.send(b"".join(map(packet, range(packets))))
            server.wait_for_log("backpressure")
            for device in delayed:
                device.send(b"".join(map(packet, range(packets, packets + more))))
            devices += [connected(next(ones)), connected(next(twos))]
            for number in range(more):
                for device in devices:
                    device.send(packet(number))
                    assert device.acknowledged() == 1
            assert all(device.silent_for(0.1) for device in delayed)
        for device in delayed:
            for _ in range(packets + more):
                assert device.acknowledged() == 1
        assert server.stop() == 0
        stored = Counter(
            (fields["device_id"], fields["ts"])
            for shard in KEYS.shards
            for _, fields in client.xrange(shard.telemetry)
        )
    assert set(stored.values()) == {1}
    assert len(stored) == len(delayed) * (packets + more) + len(devices) * more


def test_all_that_a_server_does_it_does_on_a_cluster(
    shared: Cluster, client: RedisCluster, start_server: StartServer
) -> None:
    """Telemetry, a command, registry, allow-list, trace, and what a dead instance left."""
    client.sadd("devices:allowed", IMEI)
    dead = start_server(*QUICK, *SHARDS, "--instance-id", "dead", redis_url=shared.url)
    on_cluster(dead, client)
    with BareDevice(dead.port, "356307042441021"):
        until(lambda: bool(client.hexists("connections:registry", "356307042441021")), "it is held")
        dead.kill()
        dead.publish("c0")
    listed = ("--authority", "allow-list", "--strict", "--instance-id", "alive", "--metrics", "0")
    server = start_server(*QUICK, *SHARDS, *listed, data_dir="alive", redis_url=shared.url)
    on_cluster(server, client)
    assert dead.ending("c0") == ("failed", "instance_lost")
    until(lambda: not client.hexists("connections:registry", "356307042441021"), "it is forgotten")
    with BareDevice(server.port) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1
        server.publish("c1")
        device.answer(device.command())
        assert server.ending("c1") == ("responded", None)
        check_commands(shared.url, server, device)
    assert server.stop() == 0
    assert not [line for line in server.log() if "error" in line]
    for node in shared.nodes:
        assert "errorstat_CROSSSLOT" not in node.info("errorstats")


def check_commands(url: str, server: ServerProcess, device: BareDevice) -> None:
    """Those of the command line that look at a cluster, or send through it."""
    where = ("--redis", url, "--json")
    devices = [json.loads(line) for line in run_teltonika("devices", *where).stdout.splitlines()]
    assert [found["imei"] for found in devices] == [IMEI]
    tail = json.loads(run_teltonika("tail", "--since", "1h", "--count", "1", *where).stdout)
    assert tail["device_id"] == IMEI
    top = json.loads(run_teltonika("top", *where).stdout)
    assert (top["connections"], top["stream_length"]) == (1, 1)
    assert json.loads(run_teltonika("trace", IMEI, *where).stdout)["instance_id"] == "alive"
    server.wait_for_log("traced_devices")
    with subprocess.Popen(
        [TELTONIKA, "send", IMEI, "getinfo", *where], stdout=subprocess.PIPE, text=True
    ) as sending:
        device.answer(device.command())
        assert sending.stdout is not None
        assert json.loads(sending.stdout.read().splitlines()[-1])["status"] == "responded"
    doctor = run_teltonika("doctor", "--port", "0", "--instance-id", "alive", *SHARDS, *where)
    found = [json.loads(line) for line in doctor.stdout.splitlines()]
    assert [one for one in found if one["outcome"] == "failure"] == []
    assert sum(one["check"] == "replicas" for one in found) == 3
    spread = next(one for one in found if one["check"] == "shards")
    assert (spread["outcome"], spread["found"]) == (
        "warning",
        "3 shards on 3 primaries: 0, 1, 2",
    )


async def test_a_node_that_has_left_the_cluster_is_not_asked_any_more(cluster: Cluster) -> None:
    first, *others, left = cluster.nodes
    deployment = deployment_of(f"redis+cluster://127.0.0.1:{first.announced}")
    await deployment.locate("key")
    for node in (first, *others):
        node.ask("CLUSTER FORGET", cluster.id_of(left))
    deployment.failed(RedisConnectionError())
    await deployment.locate("key")
    for node in (first, *others):
        node.kill()
    deployment.failed(RedisConnectionError())
    with pytest.raises(RedisConnectionError):
        await deployment.locate("key")


def test_a_cluster_that_nobody_answers_for_is_told(tmp_path: Path) -> None:
    options = ("serve", "--port", "0", "--data-dir", str(tmp_path), "--redis")
    result = run_teltonika(*options, "redis+cluster://:@127.0.0.1:1,127.0.0.1:2")
    assert result.returncode == 1
    assert result.stderr.startswith(
        "teltonika: cannot use the Redis at redis+cluster://127.0.0.1:1"
    )
    assert "Traceback" not in result.stderr
