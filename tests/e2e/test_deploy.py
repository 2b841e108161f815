"""What a container and systemd would start, started as plain processes: no engine is needed."""

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml
from free_ports import free_port
from own_valkey import OwnValkey
from serving import IMEI, STREAM, TELTONIKA

from teltonika.server import ServerSettings
from teltonika.server.workers.worker_keeper import TO_END_S

ROOT = Path(__file__).parents[2]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNIT = ROOT / "deploy" / "teltonika.service"
ENVIRONMENT = dict(re.findall(r"(TELTONIKA_\w+)=(\S+)", DOCKERFILE))
ENTRYPOINT = json.loads(re.search(r"^ENTRYPOINT (.*)$", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]
COMMAND = json.loads(re.search(r"^CMD (.*)$", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]


@contextmanager
def started(command: list[str], environment: dict[str, str]) -> Iterator[dict[str, Any]]:
    """What a process says that has these variables beside its own; it drains at the end."""
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | environment,
        start_new_session=True,  # a service has no terminal
    ) as process:
        assert process.stdout is not None
        yield json.loads(process.stdout.readline())
        process.terminate()
        assert process.wait(timeout=30) == 0


def free_ports() -> dict[str, str]:
    """In place of the fixed ones, which may be taken on the machine of the tests."""
    return {
        "TELTONIKA_PORT": str(free_port()),
        "TELTONIKA_METRICS": f"127.0.0.1:{free_port()}",
    }


def healthy(metrics: str, code: int) -> None:
    """What the image's health check says."""
    check = json.loads(re.search(r"^HEALTHCHECK .*CMD (.*)$", DOCKERFILE, re.MULTILINE)[1])  # type: ignore[index]
    _, *arguments = (part.replace(ENVIRONMENT["TELTONIKA_METRICS"], metrics) for part in check)
    environment = os.environ | {"http_proxy": "http://127.0.0.1:9"}  # nobody listens there
    result = subprocess.run(
        [sys.executable, *arguments], capture_output=True, check=False, env=environment
    )
    assert result.returncode == code


def send_three(port: int) -> None:
    arguments = ["--port", str(port), "--imei", IMEI, "--records", "3", "--interval", "0"]
    subprocess.run([TELTONIKA, "emulate", *arguments], check=True, capture_output=True, timeout=60)


def test_the_image_starts_a_server_that_keeps_its_data_in_its_volume(tmp_path: Path) -> None:
    assert ENTRYPOINT == ["teltonika"]
    assert ENVIRONMENT["TELTONIKA_DATA_DIR"] in DOCKERFILE.partition("VOLUME ")[2].split("\n")[0]
    own = {"TELTONIKA_DATA_DIR": str(tmp_path), **free_ports()}
    with started([TELTONIKA, *COMMAND], ENVIRONMENT | own) as listening:
        assert listening["host"] == "0.0.0.0"
        send_three(listening["port"])
        healthy(own["TELTONIKA_METRICS"], code=0)
    healthy(own["TELTONIKA_METRICS"], code=1)
    assert any((tmp_path / "valkey").iterdir())


def test_the_composition_serves_with_its_valkey(tmp_path: Path) -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    program, *options = shlex.split(services["valkey"]["command"])
    assert program == "valkey-server"
    valkey = OwnValkey(tmp_path)
    valkey.start(*options)
    try:
        own = {
            "TELTONIKA_DATA_DIR": str(tmp_path / "data"),
            "TELTONIKA_REDIS": valkey.url,
            **free_ports(),
        }
        environment = ENVIRONMENT | services["teltonika"]["environment"] | own
        with started([TELTONIKA, *COMMAND], environment) as listening:
            send_three(listening["port"])
        client = redis.Redis.from_url(valkey.url)
        assert client.xlen(STREAM) == 3
        client.close()
    finally:
        valkey.kill()


def test_who_stops_the_server_waits_for_its_drain_and_whoever_ends_is_started_again() -> None:
    services = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    assert {one["restart"] for one in services.values()} == {"unless-stopped"}
    unit = UNIT.read_text()
    for said in (
        re.search(r"^TimeoutStopSec=(\d+)$", unit, re.MULTILINE),
        re.fullmatch(r"(\d+)s", services["teltonika"]["stop_grace_period"]),
    ):
        assert said is not None
        assert int(said[1]) > ServerSettings().drain_timeout_s + TO_END_S
    assert "Restart=always" in unit
    assert "StartLimitIntervalSec=0" in unit


def test_only_what_a_build_needs_goes_into_the_image() -> None:
    ignored = (ROOT / ".dockerignore").read_text().split()
    assert ignored[0] == "*"
    for name in ignored[1:]:
        if name.startswith("!"):
            assert (ROOT / name[1:]).exists()


@pytest.mark.skipif(shutil.which("hadolint") is None, reason="hadolint is not installed")
def test_the_dockerfile_is_clean() -> None:
    result = subprocess.run(
        ["hadolint", ROOT / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stdout


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace("/opt/teltonika/bin/teltonika", sys.executable))
    result = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, "")


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_the_unit_exposes_little() -> None:
    result = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--threshold=20", UNIT],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout[-600:]


@pytest.mark.parametrize("workers", ["1", "2"])
def test_reloading_the_unit_ends_no_server_that_has_no_certificate(
    workers: str, tmp_path: Path
) -> None:
    reload = re.search(r"^ExecReload=/bin/kill -(\w+) \$MAINPID$", UNIT.read_text(), re.MULTILINE)
    assert reload is not None
    own = {"TELTONIKA_DATA_DIR": str(tmp_path), **free_ports(), "TELTONIKA_WORKERS": workers}
    with started([TELTONIKA, "serve"], own) as listening:
        os.kill(listening["pid"], signal.Signals[f"SIG{reload[1]}"])
        send_three(listening["port"])  # and it drains when it is told to


def test_the_unit_starts_the_server_with_its_settings(tmp_path: Path) -> None:
    text = UNIT.read_text()
    variables = dict(re.findall(r"^Environment=(\w+)=(\S+)$", text, re.MULTILINE))
    command = shlex.split(re.search(r"^ExecStart=(.*)$", text, re.MULTILINE)[1])  # type: ignore[index]
    assert command[0].endswith("/bin/teltonika")
    variables["TELTONIKA_DATA_DIR"] = variables["TELTONIKA_DATA_DIR"].replace("%S", str(tmp_path))
    variables |= free_ports()
    with started([TELTONIKA, *command[1:]], variables) as listening:
        send_three(listening["port"])
        assert (tmp_path / "teltonika" / "valkey").is_dir()
