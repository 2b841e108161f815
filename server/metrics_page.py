"""The metrics of an instance as Prometheus reads them: its text format, or OpenMetrics."""

import math
from collections.abc import Callable, Iterable, Iterator

import msgspec
from prometheus_client import CollectorRegistry, Metric, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from teltonika.server.histogram import Histogram
from teltonika.server.metrics_families import FAMILIES, Family, Kind, Seen

OPENMETRICS = "application/openmetrics-text"
KEPT_S = 0.05
"""A page is given again for so long: however many ask, writing pages takes little of the loop."""


class Page(msgspec.Struct, frozen=True):
    """The metrics, written."""

    content_type: str
    text: bytes
    written_at: float


class MetricsPage(Collector):
    """What one instance shows; ``look`` is called when somebody asks, ``now`` is any clock."""

    def __init__(self, look: Callable[[], Seen], now: Callable[[], float]) -> None:
        self._look = look
        self._now = now
        self._pages: dict[str, Page] = {}  # by what was asked for: two at most
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)
        ProcessCollector(registry=self._registry)

    def describe(self) -> Iterable[Metric]:
        """Nothing beforehand: nobody else registers names of ours."""
        return ()

    def collect(self) -> Iterator[Metric]:
        seen = self._look()
        for family in FAMILIES:
            yield _metric(family, seen)

    def written(self, accept: str) -> Page:
        """``accept``: the header, which says whether OpenMetrics or Prometheus' text is wanted."""
        # a header can name any version: what the library is asked for is ours
        wanted = f"{OPENMETRICS}; version=1.0.0" if OPENMETRICS in accept else ""
        now = self._now()
        page = self._pages.get(wanted)
        if page is None or now - page.written_at >= KEPT_S:
            encoder, content_type = choose_encoder(wanted)
            page = self._pages[wanted] = Page(content_type, encoder(self._registry), now)
        return page


def _metric(family: Family, seen: Seen) -> Metric:
    found = family.read(seen)
    if isinstance(found, Histogram):
        histogram = HistogramMetricFamily(family.full_name, family.meaning)
        buckets = [(_as_text(bound), count) for bound, count in found.cumulative()]
        histogram.add_metric((), buckets, found.total)
        return histogram
    kind = CounterMetricFamily if family.kind is Kind.COUNTER else GaugeMetricFamily
    metric = kind(family.full_name, family.meaning, labels=family.labels)
    for values, number in found.items():
        metric.add_metric(values, number)
    return metric


def _as_text(bound: float) -> str:
    return "+Inf" if math.isinf(bound) else str(float(bound))
