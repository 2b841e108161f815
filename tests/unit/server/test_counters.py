"""What the last line of the log says of the counters."""

from teltonika.codecs import AVL_CODECS
from teltonika.server.command_queue import Reason
from teltonika.server.counters import Counters, Unconfirmed


def test_the_log_has_sums_and_kinds_and_no_histogram() -> None:
    counters = Counters(connections=3)
    for name, count in (("8", 1), ("8E", 2)):
        counters.records[AVL_CODECS.by_name(name).codec_id] += count
    counters.commands_failed[Reason.TIMEOUT] += 4
    counters.backpressure_pauses[Unconfirmed.ALL] += 5
    counters.ack_latency_s.observe(0.1)
    told = dict(counters.as_fields())
    assert told["connections"] == 3
    assert (told["records"], told["records_8"], told["records_8E"]) == (3, 1, 2)
    assert (told["commands_failed"], told["commands_failed_timeout"]) == (4, 4)
    assert (told["backpressure_pauses"], told["backpressure_pauses_all"]) == (5, 5)
    assert told["packets"] == 0
    assert all(isinstance(count, int) for count in told.values())
