"""Scenario files, right and wrong."""

from pathlib import Path
from random import Random

import pytest

from teltonika.emulator.scenario import ScenarioError, read_scenario
from teltonika.emulator.scenario.step import Verb

TOML = """
[emulate]
count = 3

[[steps]]
at = 5
do = "lose-network"
for = 10
devices = "1-2"

[expect]
no_resend = true
"""
YAML = """
emulate: {count: 3}
steps:
  - {at: 5, do: lose-network, for: 10, devices: 1-2}
expect: {no_resend: true}
"""


def written(folder: Path, text: str, name: str = "two outages.toml") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def test_toml_and_yaml_say_the_same(tmp_path: Path) -> None:
    first = read_scenario(written(tmp_path, TOML))
    assert first == read_scenario(written(tmp_path, YAML, "two outages.yaml"))
    assert first.name == "two outages"
    assert first.emulate == {"count": 3}
    (step,) = first.steps
    assert (step.do, step.at, step.for_s, step.devices) == (Verb.LOSE_NETWORK, 5, 10, "1-2")
    assert first.expect.no_resend


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("steps = 1", "steps: Expected `array`"),
        ("[[steps]]\ndo = 'panic'\nat = 'x'", "step 1, at: Expected `float"),
        ("[[steps]]\ndo = 'dance'\nat = 1", "step 1, do: Invalid enum value 'dance'"),
        ("[[steps]]\ndo = 'panic'", "step 1: expected either `at`"),
        ("[[steps]]\ndo = 'panic'\nat = 1\nfro = 2", "step 1: .*unknown field `fro`"),
        ("[[steps]]\ndo = 'panic'\nat = 1\nfor = 2", "step 1: panic takes no `for`"),
        ("[[steps]]\ndo = 'sleep'\nat = 1", "step 1: sleep needs `for`"),
        ("[[steps]]\ndo = 'text'\nat = 1", "step 1: `text` goes with"),
        ("[[steps]]\ndo = 'park'\nat = 1\ntext = 'a'", "step 1: `text` goes with"),
        (
            "[[steps]]\ndo = 'text'\nat = 1\ntext = 'a'\ncodec = '12'",
            "step 1: no codec is called '12': one of 13, 15",
        ),
        ("[[steps]]\ndo = 'codec'\nat = 1", "step 1: codec needs `codec`"),
        ("[[steps]]\ndo = 'codec'\ncodec = '9'\nat = 1", "step 1: .*9"),
        ("[[steps]]\ndo = 'ask'\nat = 1", "step 1: `run`"),
        ("[[steps]]\ndo = 'fault'\nat = 1", "step 1: `fault` goes with"),
        ("[[steps]]\ndo = 'fault'\nfault = 'no-luhn'\nat = 1", "step 1: no-luhn is no fault of"),
        ("[[steps]]\ndo = 'panic'\nwhen = {miles = 1}", "step 1: when: 'miles' is none of"),
        ("[[steps]]\ndo = 'panic'\nat = 1\ndevices = '9-1'", "step 1: devices: expected 'all'"),
        ("[[steps]]\ndo = 'panic'\nat = 1\ndevices = [0]", "step 1, devices.*>= 1"),
        ("[expect]\nat_least = {miles = 1}", "expect: 'miles' is none of"),
        ("[expect]\nworks = true", "expect: .*unknown field `works`"),
        ("a = ]", "two outages.toml: .*line 1"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        read_scenario(written(tmp_path, text))


@pytest.mark.parametrize(
    ("name", "text", "complaint"),
    [
        ("a.yaml", "steps: [", "a.yaml: while parsing.*line 1"),
        ("a.yaml", "!!python/object/apply:os.system ['true']", "could not determine a constructor"),
        ("a.json", "{}", "expected .toml, .yaml or .yml, found '.json'"),
        ("a.toml", "#" * 1_000_001, "more than 1000000 bytes"),
    ],
)
def test_what_is_no_scenario_is_refused(
    tmp_path: Path, name: str, text: str, complaint: str
) -> None:
    with pytest.raises(ScenarioError, match=complaint):
        read_scenario(written(tmp_path, text, name))


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"cannot read .*: No such file"):
        read_scenario(tmp_path / "none.toml")


def test_devices_are_chosen_by_number_range_and_share(tmp_path: Path) -> None:
    def chosen(devices: str) -> list[int]:
        text = f"[[steps]]\ndo = 'panic'\nat = 1\ndevices = {devices}"
        return read_scenario(written(tmp_path, text)).steps[0].chosen(20, Random(1))

    assert chosen("'all'") == list(range(20))
    assert chosen("[1, 20]") == [0, 19]
    assert chosen("'3-5'") == [2, 3, 4]
    assert len(chosen("'25%'")) == 5
    assert chosen("'25%'") == chosen("'25%'")
    assert len(chosen("'1%'")) == 1
