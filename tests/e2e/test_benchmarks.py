"""`python -m benchmarks` and `python -m benchmarks.growth` run. They are never timed here."""

import subprocess
import sys
from pathlib import Path

import msgspec

from benchmarks.asked import ASKED
from benchmarks.page import pages
from benchmarks.plots import Growth
from benchmarks.report import Report, markdown

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


def test_the_quick_run_answers_all_that_is_asked_and_writes_what_it_prints(tmp_path: Path) -> None:
    printed = run("benchmarks", "--quick", "--output", str(tmp_path))
    report = msgspec.json.decode((tmp_path / "benchmarks.json").read_bytes(), type=Report)
    assert (tmp_path / "benchmarks.md").read_text(encoding="utf-8") == markdown(report)
    without_peers = [asked for asked in ASKED if "JavaScript" not in asked.what]
    assert {answer.what for answer in report.answers} >= {asked.what for asked in without_peers}
    parts = {line.part for line in report.lines}
    assert len(parts) == 10
    for part in parts:
        assert f"\n{part} " in printed
        assert f"| {part} |" in markdown(report)
    assert "Python" in report.versions


def test_the_pages_have_the_figures_of_the_run_that_is_kept() -> None:
    for file, page in pages().items():
        assert file.read_text(encoding="utf-8") == page


def test_a_part_can_be_measured_alone(tmp_path: Path) -> None:
    run("benchmarks", "--quick", "--only", "Encode", "--output", str(tmp_path))
    report = msgspec.json.decode((tmp_path / "benchmarks.json").read_bytes(), type=Report)
    assert {line.part for line in report.lines} == {"Encode"}


def test_growth_is_measured_and_drawn(tmp_path: Path) -> None:
    run("benchmarks.growth", "--quick", "--output", str(tmp_path))
    growth = msgspec.json.decode((tmp_path / "growth.json").read_bytes(), type=Growth)
    assert len(growth.panels) == 11
    for panel, curves in growth.panels:
        assert curves, panel.title
        assert all(len(curve.sizes) >= 4 for curve in curves)
    assert (tmp_path / "growth.png").read_bytes().startswith(b"\x89PNG")
    assert "<svg" in (tmp_path / "growth.svg").read_text()
