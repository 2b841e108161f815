"""A rig whose Redis is a cluster, or a primary with replicas and sentinels."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from cluster import Cluster
from rig import BREAK_EVERY, INSTANCES, Rig
from sentinels import Sentinels
from serving import STREAM
from valkey_node import Node

from teltonika.server.keys import Keys

KEYS = Keys()
SHARDS = 3


class TopologyRig(Rig):
    """Every node is behind a gate. ``durability``: what the instances promise."""

    topology: Cluster | Sentinels

    def __init__(
        self, directory: Path, seed: int, durability: str, break_every: int = BREAK_EVERY
    ) -> None:
        super().__init__(directory, seed, break_every)
        self.durability = durability
        promised = ("--durability", durability, "--replicas", str(self.replicas))
        self.server_options = (*promised, *self.server_options)

    @property
    def redis_url(self) -> str:
        return self.topology.url

    @contextlib.asynccontextmanager
    async def redis_running(self) -> AsyncIterator[None]:
        with contextlib.ExitStack() as stack:
            await asyncio.to_thread(stack.enter_context, self.topology)
            self.client = self.topology.client()
            stack.callback(self.client.close)
            yield

    @property
    def keys(self) -> tuple[str, ...]:
        """Of what the campaign is about: telemetry, commands, and where devices are."""
        outbound = (KEYS.outbound(name) for name in INSTANCES)
        return (*self.streams, *outbound, KEYS.responses, KEYS.registry)

    def kill_node(self, node: Node) -> None:
        self.kills += 1
        node.kill()


class ClusterRig(TopologyRig):
    """The telemetry is in shards, one or more on each primary."""

    streams = tuple(f"{STREAM}:{{{k}}}" for k in range(SHARDS))
    server_options = ("--stream-shards", str(SHARDS))
    replicas = 1

    def __init__(
        self, directory: Path, seed: int, durability: str, break_every: int = BREAK_EVERY
    ) -> None:
        super().__init__(directory, seed, durability, break_every)
        self.topology: Cluster = Cluster(directory / "cluster", gated=True)


class SentinelRig(TopologyRig):
    """Every replica must have a record before it is acknowledged: sentinels promote any of them,
    now and then one instead of a primary that lives, and that another replica still follows."""

    replicas = 2

    def __init__(
        self, directory: Path, seed: int, durability: str, break_every: int = BREAK_EVERY
    ) -> None:
        super().__init__(directory, seed, durability, break_every)
        self.topology: Sentinels = Sentinels(directory / "sentinels", gated=True)
