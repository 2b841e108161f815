"""Every command and program in README and docs, run as it stands there.

What takes long, or would listen where a test must not, is set from outside, by the environment
variables that the docs name themselves: ports, directories, the demo's length.
"""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from serving import TELTONIKA, ServerProcess

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

NOT_RUN = {
    "pip install -e '.[test]' && pytest": "is what runs this",
    "python -m benchmarks": "takes minutes; test_benchmarks runs it with --quick",
}
INSTALL = "pip install . && "
"""Whoever runs the tests has installed it."""


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield match[1], match[2]


def run_block(program: list[str], text: str, directory: Path, server: ServerProcess) -> str:
    environment = os.environ | {
        "PATH": f"{Path(TELTONIKA).parent}{os.pathsep}{os.environ['PATH']}",
        "TELTONIKA_HOST": "127.0.0.1",
        "TELTONIKA_PORT": str(server.port),
        "TELTONIKA_SECONDS": "2",
        "REDIS_URL": server.listening["redis"],
    }
    result = subprocess.run(
        [*program, text],
        cwd=directory,
        env=environment,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert result.returncode == 0, f"{text}\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path, tmp_path: Path, server: ServerProcess) -> None:
    for language, text in blocks(page):
        match language:
            case "sh":
                lines = [line.removeprefix(INSTALL) for line in text.splitlines()]
                # the server that the page starts is the fixture's: it is running already
                kept = [line for line in lines if line not in NOT_RUN and line != "teltonika serve"]
                run_block(["bash", "-euo", "pipefail", "-c"], "\n".join(kept), tmp_path, server)
            case "python":
                assert run_block([sys.executable, "-c"], text, tmp_path, server)
            case "json":
                assert json.loads(text).keys() == server.listening.keys()
            case _:
                pytest.fail(f"nothing runs {language!r} blocks")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    local = [link for link in links if not link.startswith("https://")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_subcommand_explains_itself_with_an_example() -> None:
    """`--help` at each level: what the tool can do is found from the tool."""
    top = subprocess.run([TELTONIKA, "--help"], capture_output=True, text=True, check=True).stdout
    for command in ("serve", "emulate", "decode", "demo"):
        assert command in top
        page = subprocess.run(
            [TELTONIKA, command, "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert "Usage: teltonika " + command in page
