"""`python -m benchmarks` and `python -m benchmarks.growth` run. They are never timed here."""

import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from benchmarks.__main__ import parts
from benchmarks.asked import ASKED
from benchmarks.cost_model import COSTS
from benchmarks.page import pages
from benchmarks.plots import Growth
from benchmarks.report import Report, markdown
from benchmarks.scaling import Scaling

ROOT = Path(__file__).parents[2]


def run(module: str, *arguments: str) -> str:
    result = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


@pytest.mark.parametrize("part", parts(0, 1))
def test_a_quick_run_answers_all_that_is_asked_and_writes_what_it_prints(
    part: str, tmp_path: Path
) -> None:
    printed = run("benchmarks", "--quick", "--only", part, "--output", str(tmp_path))
    report = msgspec.json.decode((tmp_path / "benchmarks.json").read_bytes(), type=Report)
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == markdown(report)
    assert {line.part for line in report.lines} == {part}
    assert f"\n{part} " in printed
    assert f"| {part} |" in markdown(report)
    asked = {one.what for one in ASKED if one.part == part and "JavaScript" not in one.what}
    assert {answer.what for answer in report.answers} >= asked
    assert "Python" in report.versions


def test_the_pages_have_the_figures_of_the_run_that_is_kept() -> None:
    for file, page in pages().items():
        assert file.read_text(encoding="utf-8") == page


def test_what_a_fleet_costs_is_measured_and_told_of_a_larger_one(tmp_path: Path) -> None:
    run("benchmarks.scaling", "--quick", "--output", str(tmp_path))
    scaling = msgspec.json.decode((tmp_path / "scaling.json").read_bytes(), type=Scaling)
    assert scaling.errors.keys() == set(COSTS)
    assert all(value >= 0 for values in scaling.model.factors.values() for value in values)
    kept = ("--like", str(ROOT / "docs" / "scaling.json"))
    of_a_million = ("--devices", "1000000", "--interval", "60", "--records", "1")
    told = run("benchmarks.scaling", *kept, *of_a_million)
    assert "1,000,000 devices, 16,667 packets a second, 1 records each" in told
    assert "workers" in told


def test_what_a_fleet_costs_was_predicted_within_a_fifth() -> None:
    kept = (ROOT / "docs" / "scaling.json").read_bytes()
    scaling = msgspec.json.decode(kept, type=Scaling)
    assert scaling.rounds >= 3
    assert scaling.held_out.load not in [one.load for one in scaling.measured]
    assert max(map(abs, scaling.errors.values())) <= 0.2


def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    run("benchmarks.growth", "--quick", "--output", str(tmp_path))
    growth = msgspec.json.decode((tmp_path / "growth.json").read_bytes(), type=Growth)
    assert len(growth.panels) == 11
    for panel, curves in growth.panels:
        assert curves, panel.title
        assert all(len(curve.sizes) == 2 for curve in curves)
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "growth.svg").read_text()


def test_growth_was_measured_at_four_sizes_and_more() -> None:
    growth = msgspec.json.decode((ROOT / "docs" / "growth.json").read_bytes(), type=Growth)
    assert all(len(curve.sizes) >= 4 for _, curves in growth.panels for curve in curves)
