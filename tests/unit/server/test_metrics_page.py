"""Both formats of the page, read again by the library's own parsers."""

from collections.abc import Callable

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from teltonika.server.counters import Counters
from teltonika.server.metrics_families import FAMILIES, Build, Queue, Seen, Vitals
from teltonika.server.metrics_page import KEPT_S, MetricsPage

HOSTILE = 'a "name" \\ with\na line'


def page_for(counters: Counters, now: Callable[[], float] = lambda: 0.0) -> MetricsPage:
    vitals = Vitals(
        connections=1,
        registry_entries=1,
        unconfirmed_bytes=0,
        oldest_unconfirmed_s=0.0,
        queues=dict.fromkeys(Queue, 0),
        shortages=(),
        is_draining=True,
    )
    return MetricsPage(lambda: Seen(counters, vitals, Build("1", "3", HOSTILE, "fsync")), now)


@pytest.mark.parametrize(
    ("accept", "parse"),
    [
        ("", parse_text),
        ("text/plain;version=0.0.4", parse_text),
        ("application/openmetrics-text;version=1.0.0", parse_openmetrics),
        ("text/plain;q=0.5,application/openmetrics-text;version=1.x\r\nA: b", parse_openmetrics),
        ("application/openmetrics-text", parse_openmetrics),
    ],
)
def test_what_is_written_can_be_read_whatever_format_is_asked_for(
    accept: str, parse: type[object]
) -> None:
    counters = Counters(connections=7)
    counters.ack_latency_s.observe(0.001)
    counters.ack_latency_s.observe(100.0)
    page = page_for(counters).written(accept)
    assert ("openmetrics" in page.content_type) == ("openmetrics" in accept)
    samples = {
        (sample.name, sample.labels.get("le")): sample
        for family in parse(page.text.decode())
        for sample in family.samples
    }
    assert samples["teltonika_connections_total", None].value == 7
    assert samples["teltonika_ack_latency_seconds_bucket", "0.001"].value == 1
    assert samples["teltonika_ack_latency_seconds_bucket", "30.0"].value == 1
    assert samples["teltonika_ack_latency_seconds_bucket", "+Inf"].value == 2
    assert samples["teltonika_build_info", None].labels["instance_id"] == HOSTILE


def test_it_is_read_anew_but_not_for_everyone_who_asks_at_once() -> None:
    counters = Counters()
    now = 100.0
    page = page_for(counters, lambda: now)
    before = page.written("").text
    counters.records_stored += 1
    assert b"teltonika_records_stored_total 0.0" in before
    now += KEPT_S / 2
    assert page.written("").text is before
    now += KEPT_S
    assert b"teltonika_records_stored_total 1.0" in page.written("").text


def test_every_family_is_written() -> None:
    text = page_for(Counters()).written("").text.decode()
    for family in FAMILIES:
        assert f"# HELP {family.full_name} " in text
