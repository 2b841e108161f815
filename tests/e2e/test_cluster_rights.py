"""A server on a cluster over TLS, as a user who may do what it does and nothing else."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from certificates import Certificates
from free_ports import free_port
from serving import IMEI, BareDevice, ServerProcess, run_teltonika
from tls_gate import tls_gate
from valkey_node import Node, until

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet
from teltonika.server import ServerSettings
from teltonika.server.authority import Authority
from teltonika.server.doctor.rights import least_rules
from teltonika.server.keys import Keys

StartServer = Callable[..., ServerProcess]
KEYS = Keys(stream_shards=2)


class Nodes:
    """Two, reached over TLS; the first has every slot."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.certificates = Certificates(directory / "certificates")
        self.all = [self._start(directory / name, stack) for name in ("first", "second")]
        first, second = self.all
        first.ask("CLUSTER", "ADDSLOTSRANGE", 0, 16_383)
        first.ask("CLUSTER", "MEET", "127.0.0.1", second.port, self._bus)
        for node in self.all:
            until(lambda node=node: "cluster_state:ok" in str(node.ask("CLUSTER", "INFO")), "ok")

    @property
    def url(self) -> str:
        hosts = ",".join(f"localhost:{node.announced}" for node in self.all)
        return f"rediss+cluster://joe@{hosts}?ssl_ca_certs={self.certificates.ca}"

    def allow(self, *rules: str) -> None:
        for node in self.all:
            node.ask("ACL SETUSER", "joe", "on", "nopass", *rules)

    def begin_move(self, key: str) -> None:
        """Its slot is on its way to the second node, and its keys are there already."""
        first, second = self.all
        slot = int(str(first.ask("CLUSTER", "KEYSLOT", key)))
        second.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", str(first.ask("CLUSTER", "MYID")))
        first.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", str(second.ask("CLUSTER", "MYID")))
        keys = first.ask("CLUSTER", "GETKEYSINSLOT", slot, 100)
        assert isinstance(keys, list)
        first.ask("MIGRATE", "127.0.0.1", second.port, "", 0, 5_000, "KEYS", *keys)

    def _start(self, directory: Path, stack: ExitStack) -> Node:
        node = Node(directory)
        node.announced, self._bus = free_port(), free_port()
        stack.callback(node.kill)
        node.start(
            *("--cluster-enabled", "yes", "--cluster-port", str(self._bus)),
            *("--cluster-announce-ip", "127.0.0.1", "--cluster-announce-port", str(node.announced)),
        ).close()
        pair = (self.certificates.server_cert, self.certificates.server_key)
        stack.enter_context(tls_gate(node.announced, node.port, *pair))
        return node


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    with ExitStack() as stack:
        yield Nodes(tmp_path, stack)


def packet(number: int) -> bytes:
    return encode_packet(AVL_CODECS.by_name("8"), [AvlRecord(1000 * number, 0, 0, 0, 0, 0, 0, 0)])


def test_with_just_these_rights_a_server_does_all_its_work_on_a_cluster(
    nodes: Nodes, start_server: StartServer
) -> None:
    settings = ServerSettings(
        authority=Authority.ALLOW_LIST, stream_shards=2, redis_url="redis+cluster://any"
    )
    nodes.allow(*least_rules(settings))
    options = ("--authority", "allow-list", "--stream-shards", "2", "--instance-id", "gate")
    found = run_teltonika("doctor", "--port", "0", *options, "--redis", nodes.url)
    assert "rights" in found.stdout
    assert found.returncode == 0, found.stdout
    quick = ("--heartbeat-interval", "0.2", "--heartbeat-ttl", "1", "--janitor-interval", "0.2")
    server = start_server(*options, *quick, redis_url=nodes.url)
    first, second = nodes.all
    first.ask("HSET", KEYS.runs, "dead", "run")
    first.ask("XADD", "commands:outbound:dead", "*", "command_id", "d", "imei", IMEI)
    with BareDevice(server.port) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1
        server.redis.close()
        server.redis = first.client()
        server.publish("c1")
        device.answer(device.command())
        assert server.ending("c1") == ("responded", None)
        server.wait_for_log("instance_lost")
        nodes.begin_move(KEYS.shards[KEYS.shard_of(IMEI)].telemetry)
        device.send(packet(2))
        assert device.acknowledged() == 1
    assert second.info("commandstats").get("cmdstat_asking")
    assert server.stop() == 0
    refused = [line for line in server.log() if "permission" in str(line).lower()]
    assert refused == []
    for node in nodes.all:
        assert node.info("errorstats").get("errorstat_NOPERM") is None
