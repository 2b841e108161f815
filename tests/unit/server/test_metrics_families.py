"""The families against Prometheus' conventions for names."""

import pytest

from teltonika.server.counters import Counters
from teltonika.server.histogram import Histogram
from teltonika.server.metrics_families import FAMILIES, Build, Family, Kind, Queue, Seen, Vitals

VITALS = Vitals(
    connections=1,
    registry_entries=2,
    unconfirmed_bytes=3,
    oldest_unconfirmed_s=4.0,
    queues=dict.fromkeys(Queue, 5),
    shortages=(),
    is_draining=False,
)
SEEN = Seen(Counters(), VITALS, Build("1.0", "3.11", "gate", "fsync"))


def test_no_name_stands_twice() -> None:
    stems = [family.full_name.removesuffix("_total") for family in FAMILIES]
    assert len(set(stems)) == len(stems)


@pytest.mark.parametrize("family", FAMILIES, ids=lambda family: family.name)
def test_names_labels_and_help_are_as_they_should_be(family: Family) -> None:
    assert family.name.endswith("_total") == (family.kind is Kind.COUNTER)
    assert family.meaning.endswith(".")
    assert not {"imei", "peer", "address", "device"} & set(family.labels)
    found = family.read(SEEN)
    if isinstance(found, Histogram):
        assert family.kind is Kind.HISTOGRAM
        return
    assert all(len(values) == len(family.labels) for values in found)
    assert 1 <= len(found) <= 20


def test_every_counter_is_in_a_metric() -> None:
    """Each alone, larger by one: some series must be larger than before."""
    before = values(SEEN.counters)
    silent = []
    for name in Counters.__struct_fields__:
        counters = Counters()
        value = getattr(counters, name)
        if isinstance(value, Histogram):
            value.observe(1)
        elif isinstance(value, int):
            setattr(counters, name, 1)
        else:
            continue  # by kind: tested with a running server
        if values(counters) == before:
            silent.append(name)
    assert silent == []


def values(counters: Counters) -> list[object]:
    seen = Seen(counters, VITALS, SEEN.build)
    found = [family.read(seen) for family in FAMILIES]
    return [one.observations if isinstance(one, Histogram) else one for one in found]
