"""What INFO says of a Redis that is not at hand."""

import pytest

from teltonika.server.doctor import Outcome
from teltonika.server.doctor.redis_server import check_memory, check_version

GIB = 1 << 30


@pytest.mark.parametrize(
    ("info", "outcome", "said"),
    [
        ({"redis_version": "6.2.14"}, Outcome.WARNING, "Redis 6.2.14"),
        ({"redis_version": "7.0.5"}, Outcome.WARNING, "Redis 7.0.5"),
        ({"redis_version": "7.2.0"}, Outcome.OK, "Redis 7.2.0"),
        ({"redis_version": "8.0-rc1"}, Outcome.OK, "Redis 8.0-rc1"),
        ({"redis_version": "7.2.4", "valkey_version": "8.1.0"}, Outcome.OK, "Valkey 8.1.0"),
    ],
)
def test_versions(info: dict[str, str], outcome: Outcome, said: str) -> None:
    finding = check_version(info)
    assert (finding.outcome, said in finding.found) == (outcome, True)


@pytest.mark.parametrize(
    ("maxmemory", "outcome"),
    [(0, Outcome.WARNING), (16 * GIB, Outcome.OK), (9 * GIB, Outcome.FAILURE)],
)
def test_memory_is_that_of_the_machine_where_there_is_no_limit(
    maxmemory: int, outcome: Outcome
) -> None:
    info = {"used_memory": 9 * GIB, "maxmemory": maxmemory, "total_system_memory": 10 * GIB}
    assert check_memory({name: str(value) for name, value in info.items()}).outcome is outcome
