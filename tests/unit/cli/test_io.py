"""`teltonika io` as its users call it."""

import json
from typing import Any

import pytest
from serving import run_teltonika

from teltonika.codecs.io_catalog import io_catalog


def rows(*arguments: str) -> list[dict[str, Any]]:
    result = run_teltonika("io", "--json", *arguments)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_an_id_has_all_its_meanings_the_most_common_first() -> None:
    common, other = rows("69")
    assert (common["name"], len(common["models"])) == ("GNSS Status", 60)
    assert other == {
        "id": 69,
        "name": "Driver 1 Cumulative Driving Time",
        "bytes": 2,
        "type": "unsigned",
        "min": None,
        "max": None,
        "multiplier": 1,
        "unit": "min",
        "values": {},
        "models": ["FMB640", "FMB641", "FMC640", "FMC650", "FMM640", "FMM650"],
    }


def test_words_are_found_in_names_in_any_case_and_order() -> None:
    names = {row["name"] for row in rows("VOLTAGE", "battery")}
    assert "Battery Voltage" in names
    assert all("battery" in name.lower() and "voltage" in name.lower() for name in names)


def test_values_say_what_they_mean_and_so_do_a_sensors_codes() -> None:
    assert rows("239")[0]["values"] == {"0": "Ignition Off", "1": "Ignition On"}
    assert rows("72")[0]["values"]["3000"] == "not connected"


def test_numbers_are_numbers() -> None:
    (row,) = rows("66", "--model", "fmb920")
    assert (row["min"], row["max"], row["multiplier"], row["unit"]) == (0, 65_535, 0.001, "V")


def test_a_model_alone_has_all_its_elements() -> None:
    elements = rows("--model", "TAT100")
    assert len(elements) == len(io_catalog().names("TAT100"))
    assert all("TAT100" in row["models"] for row in elements)


@pytest.mark.parametrize("query", ["69", "temperature", "crash", "percent torque", "e"])
def test_a_person_reads_it_in_80_columns(query: str) -> None:
    result = run_teltonika("io", query)
    assert result.returncode == 0, result.stderr
    assert max(len(line) for line in result.stdout.splitlines()) <= 80


def test_an_id_is_shown_with_everything_that_is_known_of_it() -> None:
    lines = run_teltonika("io", "69").stdout.splitlines()
    words = [line.split() for line in lines]
    assert ["69", "GNSS", "Status"] in words
    assert ["2", "GNSS", "ON", "without", "fix"] in words
    assert ["models", "6:", *rows("69")[1]["models"]] in words


def test_a_table_has_unit_and_multiplier_and_doubts_where_nobody_says_it() -> None:
    table = run_teltonika("io", "return air sensor 1").stdout
    assert "? °C" in table
    voltages = [
        line.split() for line in run_teltonika("io", "external voltage").stdout.splitlines()
    ]
    assert ["66", "2", "External", "Voltage", "0.001", "V", "0", "to", "65535", "60"] in voltages
    assert ["66", "2", "External", "Voltage", "mV", "0", "to", "30000", "6"] in voltages


def test_models_are_listed() -> None:
    assert run_teltonika("io", "--models").stdout.splitlines() == sorted(io_catalog().models)
    listed = rows("--models")
    assert {"model": "FMB920", "elements": len(io_catalog().names("FMB920"))} in listed


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["voltge"], "no IO element is called 'voltge'; words like it: voltage, "),
        (["65000"], "no IO element has the id 65000"),
        (["9" * 5000], "no IO element is called '99"),
        (
            ["20016", "--model", "FMB920"],
            "no IO element of FMB920 has the id 20016; other models have 20016, LTE RSRP",
        ),
    ],
)
def test_where_nothing_is_found_a_sentence_says_what_is_near(
    arguments: list[str], sentence: str
) -> None:
    result = run_teltonika("io", *arguments)
    assert (result.returncode, result.stdout) == (1, "")
    assert result.stderr.startswith(f"teltonika: {sentence}")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say an id, words of a name, a --model, or --models"),
        (["66", "--models"], "--models: it takes no other option"),
        (["66", "--model", "FMB921"], "--model: the IO dictionary has no model 'FMB921'"),
    ],
)
def test_wrong_usage_is_one_sentence(arguments: list[str], sentence: str) -> None:
    result = run_teltonika("io", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.startswith(f"teltonika: {sentence}")
    assert result.stderr.count("\n") == 1
