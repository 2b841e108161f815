"""The metrics of an instance as Prometheus reads them: its text format, or OpenMetrics."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

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
from teltonika.server.metrics_families import FAMILIES, Family, Kind, Labels, Seen, Series, SourceT

OPENMETRICS = "application/openmetrics-text"
KEPT_S = 0.05
"""A page is given again for so long: however many ask, writing pages takes little of the loop."""


class Page(msgspec.Struct, frozen=True):
    """The metrics, written."""

    content_type: str
    text: bytes
    written_at: float


class Found(NamedTuple):
    """A family's values, and those of the labels that it has more than by itself."""

    more_values: Labels
    found: Series | Histogram


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
            yield metric_of(family, [Found((), family.read(seen))])

    def written(self, accept: str) -> Page:
        """``accept``: the header, which says whether OpenMetrics or Prometheus' text is wanted."""
        wanted = _format_for(accept)
        now = self._now()
        page = self._pages.get(wanted)
        if page is None or now - page.written_at >= KEPT_S:
            page = self._pages[wanted] = write(self._registry, accept, now)
        return page


def write(registry: CollectorRegistry, accept: str, now: float) -> Page:
    """All that is registered, in the format that the header ``accept`` wants."""
    encoder, content_type = choose_encoder(_format_for(accept))
    return Page(content_type, encoder(registry), now)


def _format_for(accept: str) -> str:
    # a header can name any version: what the library is asked for is ours
    return f"{OPENMETRICS}; version=1.0.0" if OPENMETRICS in accept else ""


def metric_of(family: Family[SourceT], parts: Iterable[Found], more_labels: Labels = ()) -> Metric:
    """A family as the library writes it."""
    labels = (*family.labels, *more_labels)
    kind = _KINDS[family.kind]
    metric = kind(family.full_name, family.meaning, labels=labels)
    for part in parts:
        if isinstance(metric, HistogramMetricFamily):
            assert isinstance(part.found, Histogram)
            buckets = [(_as_text(bound), count) for bound, count in part.found.cumulative()]
            metric.add_metric(part.more_values, buckets, part.found.total)
        else:
            assert not isinstance(part.found, Histogram)
            for values, number in part.found.items():
                metric.add_metric((*values, *part.more_values), number)
    return metric


_KINDS: dict[
    Kind, type[CounterMetricFamily] | type[GaugeMetricFamily] | type[HistogramMetricFamily]
] = {
    Kind.COUNTER: CounterMetricFamily,
    Kind.GAUGE: GaugeMetricFamily,
    Kind.HISTOGRAM: HistogramMetricFamily,
}


def _as_text(bound: float) -> str:
    return "+Inf" if math.isinf(bound) else str(float(bound))
