"""What a worker gets of the whole server's limits."""

from pathlib import Path

import pytest

from teltonika.server.config import ServerSettings
from teltonika.server.logs import LogFormat, LogLevel
from teltonika.server.workers.messages import Setup, decode_to_worker, encode
from teltonika.server.workers.shares import instance_ids, settings_of_worker, share


@pytest.mark.parametrize(
    ("whole", "workers", "each"), [(50_000, 2, 25_000), (5, 3, 2), (1, 4, 1), (0, 8, 0)]
)
def test_a_share_is_rounded_up_and_no_limit_stays_none(whole: int, workers: int, each: int) -> None:
    assert share(whole, workers) == each


def test_limits_of_the_server_are_split_and_those_of_a_device_are_not() -> None:
    whole = ServerSettings(workers=4, metrics_port=9527, data_dir=Path("/data"))
    (first, *_) = instance_ids("gate", whole.workers)
    worker = settings_of_worker(
        whole, first, redis_url="redis://:secret@r/0", port=5027, udp_port=None
    )
    assert (worker.instance_id, worker.workers, worker.shares_ports) == ("gate-1", 1, True)
    assert worker.metrics_port is None
    assert worker.max_connections * 4 == whole.max_connections
    assert worker.max_connections_per_address * 4 == whole.max_connections_per_address
    assert worker.max_unconfirmed_total_bytes * 4 == whole.max_unconfirmed_total_bytes
    assert worker.log_lines_per_peer * 4 == whole.log_lines_per_peer
    assert worker.max_unconfirmed_session_bytes == whole.max_unconfirmed_session_bytes
    assert worker.command_queue_size == whole.command_queue_size
    setup = Setup(1, worker, LogFormat.JSON, LogLevel.DEBUG)
    assert decode_to_worker(encode(setup)) == setup
