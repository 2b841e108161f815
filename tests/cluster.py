"""A Redis Cluster: of six nodes, or of as many primaries as a test wants."""

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from free_ports import free_port
from gates import address_of
from topology import Topology
from valkey_node import Node, until

SLOTS = 16_384
THIRDS = ((0, 5_460), (5_461, 10_922), (10_923, SLOTS - 1))
NODE_TIMEOUT_MS = 2_000


class Cluster(Topology):
    """Three primaries, each with a third of the slots and a replica.

    ``slots``: first and last of each primary, if there are to be others.
    """

    def __init__(
        self,
        directory: Path,
        *,
        gated: bool = False,
        slots: Sequence[tuple[int, int]] = THIRDS,
        replicated: bool = True,
    ) -> None:
        super().__init__(directory, gated=gated)
        self._all_slots = slots
        self._replicated = replicated
        self._bus: dict[Node, int] = {}

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{node.announced}" for node in self.nodes)

    def launch(self) -> None:
        size = len(self._all_slots)
        for number in range(2 * size if self._replicated else size):
            self._add(number)
        self._start(self.nodes)
        primaries, replicas = self.nodes[:size], self.nodes[size:]
        for node, (first, last) in zip(primaries, self._all_slots, strict=True):
            node.ask("CLUSTER", "ADDSLOTSRANGE", first, last)
        for epoch, node in enumerate(self.nodes, 1):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", epoch)
        for one, other in itertools.combinations(self.nodes, 2):
            one.ask("CLUSTER", "MEET", "127.0.0.1", other.announced, self._bus[other])
        until(lambda: all(len(self._known(node)) == len(self.nodes) for node in self.nodes), "meet")
        for primary, replica in zip(primaries, replicas, strict=False):
            replica.ask("CLUSTER", "REPLICATE", self.id_of(primary))
        self.wait_until_whole()

    def _add(self, number: int) -> None:
        node = Node(self.directory / f"node-{number}")
        bus = free_port()
        self.nodes.append(node)
        node.announced = self._behind_gate(node.port, number)
        self._bus[node] = self._behind_gate(bus, number)
        node.options += [
            *("--cluster-enabled", "yes", "--cluster-port", str(bus)),
            *("--cluster-node-timeout", str(NODE_TIMEOUT_MS)),
            *("--cluster-replica-validity-factor", "0"),
            *("--cluster-require-full-coverage", "no"),
            *("--repl-diskless-sync-delay", "0"),
        ]
        if self.gated:
            node.options += [
                *("--bind-source-addr", address_of(number), "--cluster-announce-ip", "127.0.0.1"),
                *("--cluster-announce-port", str(node.announced)),
                *("--cluster-announce-bus-port", str(self._bus[node])),
            ]

    # -- who is who ------------------------------------------------------------------------

    def id_of(self, node: Node) -> str:
        return str(node.ask("CLUSTER", "MYID"))

    def primaries(self) -> list[Node]:
        return [node for node in self.nodes if node.is_running and self._is_primary(node)]

    def primary_of(self, place: str | int) -> Node:
        """The node that has a key, or a slot, as most of those say that run."""
        slot = place if isinstance(place, int) else self.slot_of(place)
        votes = [
            port
            for node in self.nodes
            if node.is_running
            for port in [self._owner_port(node, slot)]
            if port
        ]
        return self._at(max(set(votes), key=votes.count))

    def replica_of(self, primary: Node) -> Node:
        """One that runs."""
        port = str(primary.announced)
        for node in self.nodes:
            if node.is_running and node is not primary:
                info = node.info("replication")
                if info["role"] == "slave" and info["master_port"] == port:
                    return node
        raise AssertionError(f"{primary.name} has no replica")

    def slot_of(self, key: str) -> int:
        for node in self.nodes:
            if node.is_running:
                return int(str(node.ask("CLUSTER", "KEYSLOT", key)))
        raise AssertionError("no node runs")

    def keys(self) -> set[str]:
        """Of every primary."""
        found: set[str] = set()
        for node in self.primaries():
            with node.client() as client:
                found |= set(client.scan_iter(count=1_000))
        return found

    # -- what is done to it ----------------------------------------------------------------

    def start_again(self, node: Node) -> None:
        """It has its data, and becomes a replica if it was replaced."""
        node.start().close()

    def wait_until_whole(self) -> None:
        """Every slot is served, every running node says so, and replicas have caught up."""
        running = [node for node in self.nodes if node.is_running]
        until(lambda: all(self._is_whole(node) for node in running), "the cluster is whole")

    @contextlib.contextmanager
    def replaced(self, primary: Node) -> Iterator[None]:
        others = [node for node in self.nodes if node.is_running and node is not primary]
        slot = self._slots_of(primary, others[0])[0]
        yield
        until(
            lambda: self._owners(others, slot).isdisjoint({primary.announced, 0}),
            f"another is promoted instead of {primary.name}",
        )

    def move_slot(self, slot: int, source: Node, target: Node, keys_at_once: int = 10) -> None:
        """Key by key, with what comes meanwhile told to ask at the target."""
        self.begin_move(slot, source, target)
        self.move_keys(slot, source, target, keys_at_once)
        self.end_move(slot, source, target)
        if self._replicated:
            self.wait_until_replicated(target)

    def wait_until_replicated(self, primary: Node) -> None:
        """Its replica has what it has now: nobody but who wrote it waits for that otherwise."""
        wanted = int(primary.info("replication")["master_repl_offset"])
        replica = self.replica_of(primary)
        until(
            lambda: int(replica.info("replication")["slave_repl_offset"]) >= wanted,
            f"{replica.name} has caught up",
        )

    def begin_move(self, slot: int, source: Node, target: Node) -> None:
        target.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))

    def move_keys(self, slot: int, source: Node, target: Node, keys_at_once: int = 10) -> None:
        while True:
            keys = source.ask("CLUSTER", "GETKEYSINSLOT", slot, keys_at_once)
            assert isinstance(keys, list)
            if not keys:
                return
            migrate = ("MIGRATE", "127.0.0.1", target.port, "", 0, 30_000, "KEYS", *keys)
            assert source.ask(*migrate) in {"OK", "NOKEY"}

    def end_move(self, slot: int, source: Node, target: Node) -> None:
        new = self.id_of(target)
        others = [node for node in self.primaries() if node not in {source, target}]
        for node in (target, source, *others):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", new)

    def move_slot_at_once(self, slot: int, source: Node, target: Node) -> None:
        """Valkey 9's own way: the slot changes hands as a whole."""
        to = ("SLOTSRANGE", slot, slot, "NODE", self.id_of(target))
        source.ask("CLUSTER", "MIGRATESLOTS", *to)
        running = [node for node in self.nodes if node.is_running]
        until(
            lambda: self._owners(running, slot) == {target.announced},
            f"slot {slot} is at {target.name}",
        )

    # --------------------------------------------------------------------------------------

    def _known(self, node: Node) -> list[str]:
        """Lines of those that it has met for good."""
        lines = str(node.ask("CLUSTER", "NODES")).splitlines()
        return [line for line in lines if "handshake" not in line]

    def _is_primary(self, node: Node) -> bool:
        return node.info("replication")["role"] == "master"

    def _slots_of(self, primary: Node, asked: Node) -> list[int]:
        """Where each of its ranges begins, as another one says."""
        return [first for first, _, port in self._slots(asked) if port == primary.announced]

    def _is_whole(self, node: Node) -> bool:
        info = str(node.ask("CLUSTER", "INFO"))
        if "cluster_state:ok" not in info or f"cluster_slots_ok:{SLOTS}" not in info:
            return False
        replication = node.info("replication")
        return replication.get("master_link_status", "up") == "up"

    def _owner_port(self, node: Node, slot: int) -> int:
        for first, last, port in self._slots(node):
            if first <= slot <= last:
                return port
        return 0

    def _owners(self, nodes: list[Node], slot: int) -> set[int]:
        """Whose slot it is, as each of them says."""
        return {self._owner_port(node, slot) for node in nodes}

    def _slots(self, node: Node) -> list[tuple[int, int, int]]:
        """First and last, and the announced port of the primary."""
        reply = node.ask("CLUSTER", "SLOTS")
        assert isinstance(reply, list)
        return [(int(first), int(last), int(owner[1])) for first, last, owner, *_ in reply]

    def _at(self, port: int) -> Node:
        return next(node for node in self.nodes if node.announced == port)
