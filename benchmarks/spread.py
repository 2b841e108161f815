"""Ingest spread over workers, shards and the nodes of a cluster, beside one of each.

Devices, server and Redis share the machine's cores: where there are two, a second worker takes its
time from the others. So the processor time that the server takes for a record stands beside the
rate: that is what another core would bring.
"""

import contextlib
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import psutil

from benchmarks.figures import Figure
from benchmarks.ingest import MANY, ONE
from benchmarks.measured_server import processor_time
from benchmarks.senders import one_by_one
from benchmarks.servers import resident_bytes, running_server
from benchmarks.workloads import Workload

CONNECTIONS = 100
PACKETS = {MANY.name: 8_000, ONE.name: 20_000}
PLAIN = "one of each"
WAYS: Mapping[str, Mapping[str, str]] = {
    PLAIN: {},
    "2 workers": {"TELTONIKA_WORKERS": "2"},
    "2 shards": {"TELTONIKA_STREAM_SHARDS": "2"},
    "2 workers and 2 shards": {"TELTONIKA_WORKERS": "2", "TELTONIKA_STREAM_SHARDS": "2"},
}
CLUSTER = "cluster of 3 with 3 shards"
MANY_SHARDS = 257
"""One, and a power of two more of them."""


def measure(seed: int, part: int) -> Iterator[Figure]:
    """One round; everything is smaller by ``part``."""
    with _cluster() as url:
        nodes = {"TELTONIKA_REDIS": url, "TELTONIKA_STREAM_SHARDS": "3"}
        for workload in (MANY, ONE):
            for way, environment in {**WAYS, CLUSTER: nodes}.items():
                yield from _ingest(workload, way, environment, seed, part)
    one, many = (_start_bytes(shards) for shards in (1, MANY_SHARDS))
    each_kib = (many - one) / 1024 / (MANY_SHARDS - 1)
    yield Figure("each more shard, memory of the server", each_kib, "KiB")


def _ingest(
    workload: Workload, way: str, environment: Mapping[str, str], seed: int, part: int
) -> Iterator[Figure]:
    count = max(2, CONNECTIONS // part)
    each = max(1, PACKETS[workload.name] // part // count)
    records = count * each * workload.records_per_packet
    packets = workload.packets(each, seed)
    with running_server({"TELTONIKA_INSTANCE_ID": f"{seed}-{way}", **environment}) as server:
        before = _server_time(server.pid)
        seconds = one_by_one(server.port, count, packets, echo=False)
        used = _server_time(server.pid) - before
    for name, value, unit in (
        (workload.name, records / seconds, "records/s"),
        (f"{workload.name} server's time", 1e6 * used / records, "µs a record"),
    ):
        beside = () if way == PLAIN else (f"{name}, {PLAIN}",)
        yield Figure(f"{name}, {way}", value, unit, beside)


def _start_bytes(shards: int) -> int:
    with running_server({"TELTONIKA_STREAM_SHARDS": str(shards)}) as server:
        return resident_bytes(server.pid)


def _server_time(pid: int) -> float:
    """Of a server and its workers, and of no Valkey."""
    workers = [one for one in psutil.Process(pid).children() if "valkey" not in one.name()]
    return sum(map(processor_time, (pid, *(one.pid for one in workers))))


@contextlib.contextmanager
def _cluster() -> Iterator[str]:
    """The URL of one that syncs every write, as the embedded Valkey does."""
    tests = str(Path(__file__).parents[1] / "tests")
    if tests not in sys.path:
        sys.path.append(tests)
    from cluster import Cluster  # noqa: PLC0415 - the tests'

    with (
        tempfile.TemporaryDirectory(prefix="teltonika-bench-") as directory,
        Cluster(Path(directory) / "nodes") as cluster,
    ):
        yield cluster.url
