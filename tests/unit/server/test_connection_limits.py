"""Connections counted in and out."""

import resource
from collections.abc import Iterator

import pytest

from teltonika.server.connection_limits import (
    RESERVED_DESCRIPTORS,
    ConnectionLimits,
    connections_possible,
)
from teltonika.server.counters import Counters


def test_who_leaves_makes_room() -> None:
    counters = Counters()
    limits = ConnectionLimits(2, 0, counters)
    assert [limits.enter() for _ in range(3)] == [True, True, False]
    limits.leave()
    assert limits.enter()
    assert limits.open == 2
    assert counters.refused_by_max_connections == 1


def test_an_address_is_forgotten_with_its_last_connection() -> None:
    counters = Counters()
    limits = ConnectionLimits(0, 1, counters)
    assert [limits.enter_from(host) for host in ("a", "b", "a")] == [True, True, False]
    limits.leave_from("a")
    assert limits.enter_from("a")
    assert counters.refused_by_max_connections_per_address == 1
    for host in ("a", "b"):
        limits.leave_from(host)
    assert limits._open_from == {}


def test_no_limit_is_none() -> None:
    limits = ConnectionLimits(0, 0, Counters())
    assert all(limits.enter() and limits.enter_from("a") for _ in range(1_000))


@pytest.fixture
def few_descriptors() -> Iterator[int]:
    """The soft limit is lowered; the hard one cannot be raised again."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    yield hard
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_the_soft_limit_for_descriptors_is_raised_to_the_hard_one(few_descriptors: int) -> None:
    assert connections_possible(1_000) == 1_000
    assert resource.getrlimit(resource.RLIMIT_NOFILE) == (few_descriptors, few_descriptors)


@pytest.mark.parametrize("wanted", [0, 1 << 40])
def test_more_than_there_are_descriptors_is_not_possible(wanted: int, few_descriptors: int) -> None:
    hard = 1 << 30 if few_descriptors == resource.RLIM_INFINITY else few_descriptors
    assert connections_possible(wanted) == hard - RESERVED_DESCRIPTORS
