"""What is installed from the wheel is what stands in the tree."""

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("codecs", "server", "emulator", "cli")
PLUGIN = "teltonika_pytest.py"
DATA = ("py.typed", ".lua", ".csv", ".json", ".toml")


@pytest.fixture(scope="module")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The files of a wheel that was built from the tree, without a network."""
    directory = tmp_path_factory.mktemp("wheel")
    source = directory / "source"  # a build leaves files behind, and finds those of the last one
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in ("pyproject.toml", "setup.py", "README.md", "LICENSE", PLUGIN):
        shutil.copy(ROOT / name, source)
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", directory, source],
        check=True,
        capture_output=True,
        timeout=100,
    )
    (wheel,) = directory.glob("*.whl")
    return set(zipfile.ZipFile(wheel).namelist())


def test_every_module_and_data_file_of_the_packages_is_in_the_wheel(wheel_names: set[str]) -> None:
    tree = {
        f"teltonika/{file.relative_to(ROOT).as_posix()}"
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.name.endswith((".py", *DATA)) and "__pycache__" not in file.parts
    }
    installed = {name for name in wheel_names if name.startswith("teltonika/")}
    assert installed == tree
    assert {f"teltonika/{package}/py.typed" for package in PACKAGES} <= installed


def test_nothing_else_is_installed(wheel_names: set[str]) -> None:
    top = {name.split("/")[0].split("-")[0] for name in wheel_names}
    assert top == {"teltonika", PLUGIN}
