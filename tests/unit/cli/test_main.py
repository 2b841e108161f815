"""The help page of `teltonika`, which must not import what its commands need."""

import subprocess
import sys
from importlib import import_module

import pytest
from serving import run_teltonika
from typer.main import get_group

from teltonika.cli.main import COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_s_line_is_the_first_sentence_of_its_own_help(command: str) -> None:
    module = import_module(f"teltonika.cli.{command}")
    function = getattr(module, command, None)
    own = function.__doc__ if function else get_group(module.app).help
    assert own is not None
    assert " ".join(own.split("\n\n")[0].split()).startswith(COMMANDS[command].rstrip("."))


def test_help_names_every_command_and_imports_none_of_them() -> None:
    page = run_teltonika("--help")
    assert page.returncode == 0
    assert all(f"│ {command} " in page.stdout for command in COMMANDS)
    loaded = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys\nfrom teltonika.cli.main import app\ntry:\n    app(['--help'])\n"
            "except SystemExit:\n    print(*sys.modules, file=sys.stderr)\n",
        ],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stderr.split()
    heavy = {"asyncio", "redis", "uvloop", "structlog", "bitstring", "msgspec", "yaml"}
    assert not heavy & set(loaded)
    assert not {f"teltonika.cli.{command}" for command in COMMANDS} & set(loaded)
