"""What is built is what stands in the tree, and works alone."""

import json
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from email import message_from_bytes
from importlib.metadata import distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
PACKAGES = ("codecs", "server", "consumer", "emulator", "cli")
PLUGIN = "teltonika_pytest.py"
TOP = ("pyproject.toml", "setup.py", "README.md", "LICENSE", PLUGIN)
DATA = ("py.typed", ".lua", ".csv", ".json", ".toml")
MADE = {"PKG-INFO", "setup.cfg", "teltonika.egg-info"}
"""What setuptools adds to an sdist."""
IMPORT_ALL = """
import importlib, pkgutil, teltonika
for module in pkgutil.walk_packages(teltonika.__path__, "teltonika."):
    importlib.import_module(module.name)
"""
HANDSHAKE = "000F333536333037303432343431303133"


def build(source: Path, directory: Path, kind: str) -> Path:
    """A wheel or an sdist, without a network."""
    command = [sys.executable, "-m", "build", f"--{kind}", "--no-isolation", "--outdir", directory]
    subprocess.run([*command, source], check=True, capture_output=True, timeout=100)
    (built,) = directory.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tree apart: a build leaves files behind, and finds those of the last one."""
    source = tmp_path_factory.mktemp("source")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / package, source / package, ignore=ignored)
    for name in TOP:
        shutil.copy(ROOT / name, source)
    return source


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def sdist(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, tmp_path_factory.mktemp("sdist"), "sdist")


def output(directory: Path, *command: str | Path) -> str:
    """What a command says that is run there."""
    return subprocess.run(
        command, cwd=directory, check=True, capture_output=True, text=True, timeout=60
    ).stdout


def in_tree() -> set[str]:
    """Modules and data files of the packages."""
    return {
        file.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for file in (ROOT / package).rglob("*")
        if file.name.endswith((".py", *DATA)) and "__pycache__" not in file.parts
    }


def names_in(wheel: Path) -> set[str]:
    return set(zipfile.ZipFile(wheel).namelist())


def needed(wheel: Path) -> set[str]:
    """The distributions that come with it, where nobody asks for an extra."""
    (metadata,) = (name for name in names_in(wheel) if name.endswith(".dist-info/METADATA"))
    told = message_from_bytes(zipfile.ZipFile(wheel).read(metadata))
    names, waiting = set[str](), told.get_all("Requires-Dist", [])
    while waiting:
        one = Requirement(waiting.pop())
        is_wanted = one.marker is None or one.marker.evaluate({"extra": ""})
        if is_wanted and one.name not in names:
            names.add(one.name)
            waiting += distribution(one.name).requires or []
    return names


def link(name: str, site: Path) -> None:
    """A distribution of this environment into another one's."""
    there = distribution(name)
    for top in {file.parts[0] for file in there.files or []} - {"..", "__pycache__"}:
        if not (site / top).exists():
            (site / top).symlink_to(str(there.locate_file(top)))


def test_every_module_and_data_file_of_the_packages_is_in_the_wheel(wheel: Path) -> None:
    installed = {name for name in names_in(wheel) if name.startswith("teltonika/")}
    assert installed == {f"teltonika/{name}" for name in in_tree()}
    assert {f"teltonika/{package}/py.typed" for package in PACKAGES} <= installed


def test_nothing_else_is_installed(wheel: Path) -> None:
    top = {name.split("/")[0].split("-")[0] for name in names_in(wheel)}
    assert top == {"teltonika", PLUGIN}


def test_the_sdist_has_what_a_build_needs_and_nothing_else(
    sdist: Path, wheel: Path, tmp_path: Path
) -> None:
    with tarfile.open(sdist) as archive:
        files = {member.name.partition("/")[2] for member in archive if member.isfile()}
        archive.extractall(tmp_path, filter="data")
    own = {name for name in files if name.split("/")[0] not in MADE}
    assert own == in_tree() | set(TOP)
    (unpacked,) = tmp_path.iterdir()
    assert names_in(build(unpacked, tmp_path / "wheel", "wheel")) == names_in(wheel)


def test_an_index_would_take_both(wheel: Path, sdist: Path) -> None:
    command = [sys.executable, "-m", "twine", "check", "--strict", wheel, sdist]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_the_wheel_alone_serves_emulates_and_decodes(wheel: Path, tmp_path: Path) -> None:
    """With nothing beside it but the distributions that it asks for."""
    venv.create(tmp_path / "venv", with_pip=False)
    binaries = tmp_path / "venv" / "bin"
    pip = [sys.executable, "-m", "pip", "--python", binaries / "python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", wheel], check=True, capture_output=True)
    (site,) = (tmp_path / "venv" / "lib").glob("python*/site-packages")
    for name in needed(wheel):
        link(name, site)
    where = "import teltonika.server as server; print(server.__file__)"
    found = output(tmp_path, binaries / "python", "-c", where)
    assert Path(found.strip()).is_relative_to(site)
    output(tmp_path, binaries / "python", "-c", IMPORT_ALL)
    teltonika = binaries / "teltonika"
    decoded = output(tmp_path, teltonika, "decode", "--json", HANDSHAKE)
    assert json.loads(decoded)["imei"] == "356307042441013"
    command = [teltonika, "serve", "--host", "127.0.0.1", "--port", "0"]
    with subprocess.Popen(
        [*command, "--data-dir", tmp_path / "data"],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as server:
        assert server.stdout is not None
        port = str(json.loads(server.stdout.readline())["port"])
        options = ["--port", port, "--records", "3", "--interval", "0", "--json"]
        report = output(tmp_path, teltonika, "emulate", *options)
        assert json.loads(report)["records_acknowledged"] == 3
        server.terminate()
        assert server.wait(timeout=30) == 0
