"""The IO dictionary."""

import csv
from pathlib import Path

import pytest

from teltonika.codecs.io_catalog import IoType, io_catalog

ROOT = Path(__file__).parents[3]


def test_an_id_means_what_its_model_means_by_it() -> None:
    catalog = io_catalog()
    assert len(catalog.rows) == 2_446
    assert len(catalog.models) == 75
    common, other = catalog.by_id(69, "FMB920"), catalog.by_id(69, "FMB640")
    assert common is not None
    assert other is not None
    assert (common.name, common.width) == ("GNSS Status", 1)
    assert common.values.startswith("0=GNSS OFF; 1=GNSS ON with fix")
    assert (other.name, other.width, other.unit) == ("Driver 1 Cumulative Driving Time", 2, "min")
    assert catalog.by_id(69, "FMB921") is None


def test_a_name_is_found_in_whatever_case() -> None:
    row = io_catalog().by_name("external voltage", "FMC130")
    assert row is not None
    assert (row.id, row.width, row.type, row.multiplier, row.unit) == (
        66,
        2,
        IoType.UNSIGNED,
        "0.001",
        "V",
    )
    assert io_catalog().by_name("External Voltages", "FMC130") is None


def test_of_several_elements_of_one_name_the_lowest_id_is_meant() -> None:
    names = io_catalog().names("FMB920")
    assert names.count("Battery Voltage") > 1
    row = io_catalog().by_name("Battery Voltage", "FMB920")
    assert row is not None
    assert row.id == 67


def test_widths_are_those_of_the_wire() -> None:
    assert {row.width for row in io_catalog().rows} == {1, 2, 4, 8, None}


def test_the_facts_are_those_of_the_source() -> None:
    source = ROOT.parent / "shared" / "protocol" / "avl_ids.csv"
    if not source.exists():
        pytest.skip("the source is not here")
    with source.open(newline="") as file:
        rows = list(csv.DictReader(file))
    found = [(str(row.id), row.name, row.type.value, row.unit) for row in io_catalog().rows]
    assert found == [(row["id"], row["name"], row["type"], row["unit"]) for row in rows]
