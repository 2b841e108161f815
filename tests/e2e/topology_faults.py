"""What a campaign does to the nodes of a topology, to the slots on them, and to connections."""

import asyncio
import time
from collections.abc import Callable, Iterable
from random import Random

from cluster import Cluster
from faults import Fault, Faults
from topology_rig import TopologyRig
from valkey_node import Node

PRIMARY_KILLED = "primary killed, another promoted"
PRIMARY_CUT_OFF = "primary cut off from the others, another promoted"
MACHINE_DEAD = "primary dead with its machine, another promoted"
FAILOVERS = (PRIMARY_KILLED, PRIMARY_CUT_OFF, MACHINE_DEAD)


class TopologyFaults(Faults):
    """Each leaves the nodes whole behind it: a failover needs one that has caught up."""

    def __init__(self, rig: TopologyRig, rng: Random, names: Iterable[str] = ()) -> None:
        self.rig = rig
        self.failovers: list[tuple[float, str]] = []
        """When all nodes were whole behind each, as `time.monotonic` has it, and its kind."""
        super().__init__(rig, rng, names)

    def every(self) -> dict[str, Fault]:
        faults: dict[str, Fault] = {
            PRIMARY_KILLED: lambda: self._fail_over(PRIMARY_KILLED, self._kill_primary),
            PRIMARY_CUT_OFF: lambda: self._fail_over(PRIMARY_CUT_OFF, self._cut_primary_off),
            MACHINE_DEAD: lambda: self._fail_over(MACHINE_DEAD, self._kill_machine),
            "primary killed and back at once": lambda: self._to_nodes(self._kill_and_start),
            "primary paused": lambda: self._to_nodes(self._pause_primary),
            "replica killed": lambda: self._to_nodes(self._kill_replica),
            "instance and primary killed": self._kill_both,
            "instance killed while a primary is cut off": self._kill_beside_cut_off,
            "connections to Redis killed by Redis": lambda: self._to_nodes(self._drop_clients),
            "connections to Redis cut": lambda: self._to_nodes(self._cut_clients),
            "connection to Redis cut in mid-reply": self._cut_replies,
        }
        if isinstance(self.rig.topology, Cluster):
            faults["slot moved key by key"] = lambda: self._to_nodes(self._move_slot)
            faults["slot moved at once"] = lambda: self._to_nodes(self._move_slot_at_once)
        return super().every() | faults

    async def _to_nodes(self, act: Callable[[], bool]) -> int:
        """Nodes are asked by blocking clients; meanwhile devices go on."""

        def act_and_mend() -> bool:
            happened = act()
            self.rig.topology.wait_until_whole()
            return happened

        return int(await asyncio.to_thread(act_and_mend))

    async def _fail_over(self, kind: str, act: Callable[[], bool]) -> int:
        count = await self._to_nodes(act)
        self.failovers.append((time.monotonic(), kind))
        return count

    def _a_primary(self) -> Node:
        """Any, and oftener one that has telemetry or commands."""
        topology = self.rig.topology
        busy = [topology.primary_of(key) for key in self.rig.keys]
        return self.rng.choice([*topology.primaries(), *busy])

    def _kill_primary(self) -> bool:
        topology, primary = self.rig.topology, self._a_primary()
        with topology.replaced(primary):
            self.rig.kill_node(primary)
        topology.start_again(primary)
        return True

    def _cut_primary_off(self) -> bool:
        topology, primary = self.rig.topology, self._a_primary()
        with topology.cut_off(primary), topology.replaced(primary):
            pass
        return True

    def _kill_machine(self) -> bool:
        """Unlike a killed process it takes with it what was still on its way to a replica."""
        topology, primary = self.rig.topology, self._a_primary()
        with topology.replaced(primary), topology.unreachable(primary):
            self.rig.kill_node(primary)
        topology.start_again(primary)
        return True

    def _kill_and_start(self) -> bool:
        primary = self._a_primary()
        self.rig.kill_node(primary)
        self.rig.topology.start_again(primary)
        return True

    def _pause_primary(self) -> bool:
        with self.rig.topology.paused(self._a_primary()):
            time.sleep(self.rng.uniform(0.3, 5))
        return True

    def _kill_replica(self) -> bool:
        topology = self.rig.topology
        primaries = topology.primaries()
        replica = self.rng.choice([node for node in topology.nodes if node not in primaries])
        self.rig.kill_node(replica)
        time.sleep(self.rng.uniform(0, 1))
        topology.start_again(replica)
        return True

    async def _kill_both(self) -> int:
        name = self.rng.choice(sorted(self.rig.servers))
        self.rig.kill_server(name)
        count = await self._fail_over(PRIMARY_KILLED, self._kill_primary)
        await self.rig.start_server(name)
        return count

    async def _kill_beside_cut_off(self) -> int:
        """What it did last only the old primary knows."""
        name, after_s = self.rng.choice(sorted(self.rig.servers)), self.rng.uniform(0, 1)
        async with asyncio.TaskGroup() as group:
            cut_off = self._fail_over(PRIMARY_CUT_OFF, self._cut_primary_off)
            failover = group.create_task(cut_off)
            await asyncio.sleep(after_s)
            self.rig.kill_server(name)
        await self.rig.start_server(name)
        return failover.result()

    # -- slots -----------------------------------------------------------------------------

    def _move_slot(self) -> bool:
        cluster, slot, source, target = self._a_move()
        cluster.move_slot(slot, source, target, keys_at_once=1)
        return True

    def _move_slot_at_once(self) -> bool:
        cluster, slot, source, target = self._a_move()
        cluster.move_slot_at_once(slot, source, target)
        return True

    def _a_move(self) -> tuple[Cluster, int, Node, Node]:
        """Of a slot that has a shard of the telemetry, commands, or the registry."""
        cluster = self.rig.topology
        assert isinstance(cluster, Cluster)
        slot = cluster.slot_of(self.rng.choice(self.rig.keys))
        source = cluster.primary_of(slot)
        others = [node for node in cluster.primaries() if node is not source]
        return cluster, slot, source, self.rng.choice(others)

    # -- connections -----------------------------------------------------------------------

    def _drop_clients(self) -> bool:
        return sum(node.drop_clients() for node in self.rig.topology.nodes) > 0

    def _cut_clients(self) -> bool:
        return self.rig.topology.gates.cut_clients() > 0

    async def _cut_replies(self) -> int:
        gates = self.rig.topology.gates
        before = gates.broken
        gates.cut_next_replies()
        return await self.until(lambda: gates.broken > before)
