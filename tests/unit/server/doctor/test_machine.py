"""Kernel settings and disks that this machine does not have."""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from teltonika.server.connection_limits import RESERVED_DESCRIPTORS, raise_descriptor_limit
from teltonika.server.doctor import Outcome, machine

GIB = 1 << 30


@pytest.fixture
def proc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A kernel's settings, in files of our own."""
    monkeypatch.setattr(machine, "PROC", tmp_path)
    (tmp_path / "vm").mkdir()
    (tmp_path / "net" / "core").mkdir(parents=True)
    return tmp_path


@pytest.mark.parametrize(
    ("value", "outcome"), [(0, Outcome.WARNING), (1, Outcome.OK), (2, Outcome.WARNING)]
)
def test_overcommit(proc: Path, value: int, outcome: Outcome) -> None:
    (proc / "vm" / "overcommit_memory").write_text(f"{value}\n")
    (finding,) = machine.check_overcommit()
    assert finding.outcome is outcome


@pytest.mark.parametrize(("value", "outcome"), [(128, Outcome.WARNING), (4096, Outcome.OK)])
def test_backlog(proc: Path, value: int, outcome: Outcome) -> None:
    (proc / "net" / "core" / "somaxconn").write_text(f"{value}\n")
    (finding,) = machine.check_backlog()
    assert finding.outcome is outcome


def test_a_kernel_without_these_settings_is_not_told_of(proc: Path) -> None:
    assert [*machine.check_overcommit(), *machine.check_backlog()] == []


def test_a_directory_that_is_there_is_not_told_to_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    assert machine.check_data_directory(Path("data")).found == str(tmp_path / "data")
    to_be_made = machine.check_data_directory(Path("new")).found
    assert to_be_made == f"{tmp_path / 'new'}, to be made in {tmp_path}"


class Usage(NamedTuple):
    total: int
    used: int
    free: int


@pytest.mark.parametrize(
    ("free", "outcome"),
    [(2 * GIB, Outcome.OK), (GIB - 1, Outcome.WARNING), ((512 << 20) - 1, Outcome.FAILURE)],
)
def test_room_on_the_disk(
    free: int, outcome: Outcome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Path] = []

    def usage(path: Path) -> Usage:
        asked.append(path)
        return Usage(10 * GIB, 10 * GIB - free, free)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    assert machine.check_disk(tmp_path / "not" / "there").outcome is outcome
    assert asked == [tmp_path]


def test_each_worker_has_its_part_of_the_connections_and_is_to_have_a_core() -> None:
    possible = raise_descriptor_limit() - RESERVED_DESCRIPTORS
    assert machine.check_descriptors(possible * 2).outcome is Outcome.WARNING
    assert machine.check_descriptors(possible * 2, workers=2).outcome is Outcome.OK
    assert "for each worker" in machine.check_descriptors(possible * 4, workers=2).found
    assert machine.check_cores(1).outcome is Outcome.OK
    assert machine.check_cores(10_000).outcome is Outcome.WARNING
