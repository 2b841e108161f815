"""One page for several workers, read again by the library's own parsers."""

import os

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text

from teltonika.server.histogram import Histogram
from teltonika.server.workers.messages import Answer, Question, Reading, decode_from_worker, encode
from teltonika.server.workers.page import WorkersPage
from teltonika.server.workers.worker_families import State


def answered(connections: int, *ack_latencies_s: float) -> tuple[Reading, ...]:
    """What comes out of the channel."""
    histogram = Histogram((0.1, 1.0))
    for latency_s in ack_latencies_s:
        histogram.observe(latency_s)
    answer = Answer(
        Question.METRICS,
        readings=(
            Reading("connections_total", (((), connections),)),
            Reading("log_lines_dropped_total", (((), 4.0),)),
            Reading("frames_total", ((("8E",), 3.0), (("16",), 0.0))),
            Reading("ack_latency_seconds", histogram),
            Reading("of_another_version", (((), 1.0),)),
        ),
    )
    message = decode_from_worker(encode(answer))
    assert isinstance(message, Answer)
    return message.readings


@pytest.mark.parametrize(
    ("accept", "parse"), [("", parse_text), ("application/openmetrics-text", parse_openmetrics)]
)
def test_each_series_has_the_workers_number(accept: str, parse: type[object]) -> None:
    states = [
        State(1, os.getpid(), 0, answered(5, 0.05, 0.5)),
        State(2, None, 7, answered(6)),
        State(3, os.getpid(), 0, None),
    ]
    page = WorkersPage(states, lines_dropped=9).written(accept, 0.0)
    values = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in parse(page.text.decode())
        for sample in family.samples
    }
    assert values["teltonika_connections_total", "1"] == 5
    assert values["teltonika_connections_total", "2"] == 6
    assert values["teltonika_frames_total", "1", "8E"] == 3
    assert values["teltonika_ack_latency_seconds_bucket", "0.1", "1"] == 1
    assert values["teltonika_ack_latency_seconds_bucket", "+Inf", "1"] == 2
    assert values["teltonika_ack_latency_seconds_bucket", "+Inf", "2"] == 0
    assert ("teltonika_connections_total", "3") not in values
    assert [values["teltonika_worker_up", number] for number in "123"] == [1, 1, 0]
    assert [values["teltonika_worker_restarts_total", number] for number in "123"] == [0, 7, 0]
    assert values["teltonika_workers",] == 2
    assert values["teltonika_log_lines_dropped_total", "1"] == 4
    assert values["teltonika_log_lines_dropped_total", "supervisor"] == 9
    assert values["process_open_fds", "supervisor"] > 0
    assert values["process_cpu_seconds_total", "3"] > 0
    assert ("process_cpu_seconds_total", "2") not in values
    assert "of_another_version" not in page.text.decode()
