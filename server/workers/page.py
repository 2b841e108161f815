"""The metrics of all workers on one page: each series with the worker's number as a label."""

import os
from collections.abc import Iterable, Iterator, Sequence
from functools import partial

from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.registry import Collector

from teltonika.server.histogram import Histogram
from teltonika.server.metrics_families import FAMILIES, LOG_LINES_DROPPED
from teltonika.server.metrics_page import Found, Page, metric_of, write
from teltonika.server.workers.worker_families import SUPERVISOR_FAMILIES, WORKER, State

SUPERVISOR = "supervisor"
"""In the place of a worker's number, for its own process."""


class WorkersPage(Collector):
    """As they are at one moment, ``now`` on any clock."""

    def __init__(self, states: Sequence[State], *, lines_dropped: int) -> None:
        """``lines_dropped``: log lines that the supervisor itself could not write."""
        self._states = states
        self._lines_dropped = lines_dropped

    def written(self, accept: str, now: float) -> Page:
        """``accept``: the header, which says whether OpenMetrics or Prometheus' text is wanted."""
        registry = CollectorRegistry(auto_describe=False)
        registry.register(self)
        return write(registry, accept, now)

    def describe(self) -> Iterable[Metric]:
        return ()

    def collect(self) -> Iterator[Metric]:
        for own in SUPERVISOR_FAMILIES:
            yield metric_of(own, [Found((), own.read(self._states))])
        # by name: a worker that was started after an upgrade may have others
        told: dict[str, list[Found]] = {}
        for one in self._states:
            for reading in one.readings or ():
                found = (
                    reading.found if isinstance(reading.found, Histogram) else dict(reading.found)
                )
                told.setdefault(reading.family, []).append(Found((str(one.number),), found))
        own_lines = Found((SUPERVISOR,), {(): self._lines_dropped})
        told.setdefault(LOG_LINES_DROPPED, []).append(own_lines)
        for family in FAMILIES:
            yield metric_of(family, told.get(family.name, ()), (WORKER,))
        yield from self._of_processes()

    def _of_processes(self) -> Iterator[Metric]:
        """What the system says of each process; of one that is ending nothing."""
        metrics: dict[str, Metric] = {}
        processes = {SUPERVISOR: os.getpid()} | {
            str(one.number): one.pid for one in self._states if one.pid is not None
        }
        for worker, pid in processes.items():
            for found in ProcessCollector(pid=partial(int, pid), registry=None).collect():
                metric = metrics.setdefault(
                    found.name, Metric(found.name, found.documentation, found.type)
                )
                for sample in found.samples:
                    metric.add_sample(sample.name, {**sample.labels, WORKER: worker}, sample.value)
        return iter(metrics.values())
