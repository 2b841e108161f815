"""Every command and program in README and docs, run as it stands there.

What takes long, or would listen where a test must not, is set from outside, by the environment
variables that the docs name themselves: ports, directories, the demo's length; the address of the
metrics is put in. Programs that begin with the name of a test file are run by pytest, all of a page
together.
"""

import html
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from contract import KINDS, validator
from doc_scripts import script
from serving import IMEI, TELTONIKA, ServerProcess, run_teltonika, wait_for_entry

StartServer = Callable[..., ServerProcess]
ROOT = Path(__file__).parents[2]
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]

NOT_RUN = {
    "python3 -m venv .venv && . .venv/bin/activate": "who runs the tests has one",
    "pip install -e '.[test]' && pytest": "is what runs this",
    "pip install -e '.[bench]' && npm ci --prefix benchmarks/peers": "slow, and not needed",
    "python -m benchmarks": "takes minutes; test_benchmarks runs it with --quick",
    "python -m benchmarks.scaling --like docs/scaling.json --devices 1000000 --interval 60 "
    "--records 1": "test_benchmarks runs it",
    "pytest tests/e2e/test_sent_again.py": "the suite runs it",
    "python tests/e2e/campaign.py --minutes 0.5 --seed 1": "test_campaign runs it",
    "teltonika serve --workers 4 --metrics 9527": "test_workers runs two",
    "promtool check config deploy/prometheus.yml": "test_monitoring_files does",
    "python tests/e2e/campaign.py --minutes 30 --seed 7": "test_campaign runs a minute of it",
    **dict.fromkeys(
        (
            "python tests/e2e/campaign.py --topology cluster --minutes 10",
            "python tests/e2e/campaign.py --topology sentinel --minutes 10",
            "python tests/e2e/campaign.py --topology cluster --durability fsync --minutes 1",
        ),
        "test_campaign_topologies runs a minute of each",
    ),
    "python tests/attacks/measure.py wrong_crc --connections 50": "takes a minute",
    "python tests/attacks/campaign.py --minutes 10": "test_attacked runs a short one",
    "python tests/e2e/rolling_restart.py --devices 30": "test_haproxy runs it",
    "python tests/e2e/topologies.py cluster": "test_topologies runs it",
    "python tests/e2e/load.py --devices 5000 --minutes 10": "test_load runs a short one",
    "pip install aiomqtt 'psycopg[binary]'": "the extra `test` has them",
    "python examples/to_postgresql.py --redis redis://localhost --postgresql postgresql:///fleet": (
        "test_examples runs it, against a PostgreSQL"
    ),
    "python examples/to_mqtt.py --redis redis://localhost --broker localhost": (
        "test_examples runs it, against a broker"
    ),
    "pip install -e '.[test,fuzz]' && python tests/fuzz/run.py --minutes 2": ".ci/fuzz runs it",
}
RUNNING = {
    "teltonika serve",
    "teltonika serve --udp-port 5027",
    "teltonika serve --metrics 9527",
    f"teltonika emulate --imei {IMEI} --records 0",
}
"""Runs already, while the page's other lines do."""
DIRECTUS = ("// ", "# forward_statuses.py\n")
"""How the blocks begin that test_directus runs."""
NEED_DEVICE = (
    *("teltonika send", "commands:outbound", "teltonika tail", "teltonika trace"),
    "TelemetryConsumer(",
)
INSTALL = "pip install . && "
"""Whoever runs the tests has installed it."""


def blocks(page: Path) -> Iterator[tuple[str, str]]:
    """Language and text of each fenced block."""
    for match in re.finditer(r"^```(\w+)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL):
        yield match[1], match[2]


def run_program(program: list[str], text: str, directory: Path, server: ServerProcess) -> str:
    environment = os.environ | {
        "PATH": f"{Path(TELTONIKA).parent}{os.pathsep}{os.environ['PATH']}",
        "TELTONIKA_HOST": "127.0.0.1",
        "TELTONIKA_PORT": str(server.udp_port if "--transport udp" in text else server.port),
        "TELTONIKA_UDP_PORT": str(server.udp_port),
        "TELTONIKA_TARGET": f"127.0.0.1:{server.port}",
        "TELTONIKA_SECONDS": "2",
        "TELTONIKA_DATA_DIR": str(server.data_dir),
        "REDIS_URL": server.listening["redis"],
    }
    text = text.replace("127.0.0.1:9527", server.listening["metrics"])
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


@contextmanager
def emulated(server: ServerProcess) -> Iterator[None]:
    """The device that `RUNNING` speaks of."""
    device = [TELTONIKA, "emulate", "--imei", IMEI, "--records", "0", "--port", str(server.port)]
    with subprocess.Popen(device, stderr=subprocess.DEVNULL) as emulator:
        try:
            wait_for_entry(server.redis, IMEI, server.instance_id)
            yield
        finally:
            emulator.terminate()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_block_of_a_page_runs(page: Path, tmp_path: Path, start_server: StartServer) -> None:
    server = start_server("--udp-port", "0", "--metrics", "0")
    for language, text in blocks(page):
        needs_device = any(word in text for word in NEED_DEVICE)
        with emulated(server) if needs_device else nullcontext():
            run_block(language, text, tmp_path, server)
    test_files = list(tmp_path.glob("test_*.py"))
    if test_files:
        said = run_program([sys.executable, "-m", "pytest", "-q"], "--rootdir=.", tmp_path, server)
        assert f"{len(test_files)} passed" in said


def run_block(language: str, text: str, directory: Path, server: ServerProcess) -> None:
    match language:
        case "sh":
            lines = [line.removeprefix(INSTALL) for line in text.splitlines()]
            kept = [line for line in lines if line not in NOT_RUN and line not in RUNNING]
            run_program(["bash", "-euo", "pipefail", "-c"], "\n".join(kept), directory, server)
        case "js":
            assert text.startswith(DIRECTUS)
        case "python" if text.startswith(DIRECTUS):
            pass
        case "python" if match := re.match(r"# ((?:test_\w+|conftest)\.py)\n", text):
            (directory / match[1]).write_text(text)
        case "python":
            assert run_program([sys.executable, "-c"], text, directory, server)
        case "json":
            shown = json.loads(text)
            is_status = shown.keys() == {"status", "reason", "detail"}  # of a row in Directus
            maybe = {"udp_port", "metrics", "workers"}  # of the line of `serve`
            if shown.keys() | maybe != server.listening.keys() | maybe and not is_status:
                assert [kind for kind in KINDS if validator(kind).is_valid(shown)]
        case "text":
            pass  # what a command prints
        case _:
            pytest.fail(f"nothing runs {language!r} blocks")


PACKETS = re.compile(r"\b(?:[0-9A-F]{2}){40,}\b")
DUMPED = re.compile(r"^ +[0-9A-F]{4}  \[.*", re.MULTILINE)


def test_every_line_of_a_dump_is_as_it_is_printed() -> None:
    packets = {found for page in PAGES for found in PACKETS.findall(page.read_text())}
    printed = {
        line.strip()
        for packet in packets
        for line in run_teltonika("decode", packet).stdout.splitlines()
    }
    shown = [(page.name, line) for page in PAGES for line in DUMPED.findall(page.read_text())]
    assert len(shown) >= 7
    assert [(name, line) for name, line in shown if line.strip() not in printed] == []


def test_the_picture_of_a_dump_shows_what_is_printed() -> None:
    make = script("make_pictures")
    drawn = re.findall(r"<text[^>]*>(.*?)</text>", (make.HERE / "decode.svg").read_text())
    words = html.unescape(" ".join(drawn)).split()
    printed = make.said("teltonika", "decode", "hexdump", make.PACKET).plain.split()
    assert words[-len(printed) :] == printed


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)\)", page.read_text())
    local = [link for link in links if not link.startswith("https://")]
    assert [link for link in local if not (page.parent / link).exists()] == []


def test_every_test_that_a_page_names_is_there() -> None:
    named = {
        command
        for page in PAGES
        for command in re.findall(r"`?(pytest tests/[^`\n]+)", page.read_text())
    }
    assert len(named) >= 4
    for command in named:
        result = subprocess.run(
            [sys.executable, "-m", *shlex.split(command), "--collect-only", "-q"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert result.returncode == 0, f"{command}\n{result.stdout}"


def test_every_command_explains_itself() -> None:
    top = subprocess.run([TELTONIKA, "--help"], capture_output=True, text=True, check=True).stdout
    for command in (
        *("serve", "emulate", "conform", "replay"),
        *("send", "devices", "tail", "trace", "top", "lag", "decode", "demo"),
        *("config", "doctor"),
    ):
        assert command in top
        page = subprocess.run(
            [TELTONIKA, command, "--help"], capture_output=True, text=True, check=True
        ).stdout
        assert "Usage: teltonika " + command in page
