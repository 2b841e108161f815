"""The help page of `teltonika`, which must not import what its commands need."""

import subprocess
import sys
from importlib import import_module

import pytest
from serving import run_teltonika
from typer.main import get_group

from teltonika.cli.main import COMMANDS

_IMPORTED = """
import sys
from teltonika.cli.main import app
try:
    app(["--help"])
except SystemExit:
    print(*sys.modules, file=sys.stderr)
"""


def test_a_command_s_line_fits() -> None:
    page = run_teltonika("--help").stdout
    assert "..." not in page.partition("Commands:")[2]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_module_with_its_help(command: str) -> None:
    module = import_module(f"teltonika.cli.{command}")
    function = getattr(module, command, None)
    assert function.__doc__ if function else get_group(module.app).help


def test_help_names_every_command_and_imports_none_of_them() -> None:
    page = run_teltonika("--help")
    assert page.returncode == 0
    assert all(f"\n  {command} " in page.stdout for command in COMMANDS)
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            _IMPORTED,
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stderr.split()
    heavy = {"asyncio", "redis", "uvloop", "structlog", "bitstring", "msgspec", "yaml", "rich"}
    assert not heavy & set(loaded)
    assert not {f"teltonika.cli.{command}" for command in COMMANDS} & set(loaded)
