"""`teltonika config`: what a server would be set to, and where that comes from."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
from serving import run_teltonika

from teltonika.cli.lazy_command import lazy_command

PASSWORD = "open-sesame"


def settings(*options: str, **variables: str) -> dict[str, dict[str, Any]]:
    """Each setting by its option."""
    result = run_config(*options, "--json", **variables)
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    return {line["option"]: line for line in lines if line["kind"] == "setting"}


def run_config(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if "TELTONIKA" not in name}
    return run_teltonika("config", *options, env=kept | {"COLUMNS": "120"} | variables)


def test_each_setting_has_its_origin_and_an_option_goes_before_a_variable() -> None:
    found = settings("--port", "5028", TELTONIKA_PORT="5029", TELTONIKA_IDLE_TIMEOUT="600")
    assert (found["--port"]["value"], found["--port"]["origin"]) == (5028, "option")
    idle = found["--idle-timeout"]
    assert (idle["value"], idle["origin"]) == (600, "environment")
    assert idle["variable"] == "TELTONIKA_IDLE_TIMEOUT"
    others = [
        one["origin"] for name, one in found.items() if name not in ("--port", "--idle-timeout")
    ]
    assert set(others) == {"default"}


def test_it_takes_every_option_of_serve() -> None:
    serve = {option.opts[0] for option in lazy_command("serve", "teltonika.cli.serve").params}
    assert set(settings()) == serve
    assert len(serve) > 35


def test_what_serve_would_refuse_it_refuses() -> None:
    result = run_config("--strict")
    assert result.returncode == 2
    assert result.stderr.startswith("teltonika: --strict:")
    assert run_config("--port", "70000").returncode == 2


@pytest.mark.parametrize("more", [(), ("--json",)])
@pytest.mark.parametrize("source", ["user", "query", "file"])
def test_a_password_is_never_shown(source: str, more: tuple[str, ...], tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    url = {
        "user": f"redis://joe:{PASSWORD}@redis.example:6379/1",
        "query": f"redis://redis.example:6379/1?password={PASSWORD}",
        "file": "redis://redis.example:6379/1",
    }[source]
    options = ("--redis-password-file", str(file)) if source == "file" else ()
    result = run_config(*options, *more, TELTONIKA_REDIS=url)
    assert result.returncode == 0, result.stderr
    assert PASSWORD not in result.stdout + result.stderr
    assert "redis.example:6379/1" in result.stdout
    assert "password hidden" in result.stdout or '"password_hidden":true' in result.stdout


def test_without_a_password_none_is_hidden() -> None:
    result = run_config("--redis", "redis://redis.example:6379/1?client_name=a%20b")
    assert "hidden" not in result.stdout


def test_a_variable_that_nobody_knows_is_pointed_out_with_the_likely_one() -> None:
    variables = {"TELTONIKA_STREAM_MAXLN": "5", "teltonika_port": "1", "TELTONIKA_QQQQQQ": "x"}
    result = run_config("--json", **variables, TELTONIKA_RECORDS_PER_PACKET="5")  # emulate's
    unknown = [
        line
        for line in map(json.loads, result.stdout.splitlines())
        if line["kind"] == "unknown_variable"
    ]
    assert unknown == [
        {"kind": "unknown_variable", "variable": "TELTONIKA_QQQQQQ"},
        {
            "kind": "unknown_variable",
            "variable": "TELTONIKA_STREAM_MAXLN",
            "likely": "TELTONIKA_STREAM_MAXLEN",
        },
        {"kind": "unknown_variable", "variable": "teltonika_port", "likely": "TELTONIKA_PORT"},
    ]
    said = run_config(**variables).stdout
    assert "TELTONIKA_STREAM_MAXLN: no option of any command has this name" in said
    assert "is it to be TELTONIKA_STREAM_MAXLEN?" in said


def test_a_person_reads_a_table() -> None:
    said = run_config("--strict", "--authority", "allow-list", TELTONIKA_PORT="5029").stdout
    rows = {line.split()[0]: line.split()[1:] for line in said.splitlines() if line.strip()}
    assert rows["port"] == ["5029", "TELTONIKA_PORT"]
    assert rows["strict"] == ["yes", "option"]
    assert rows["udp-port"] == ["(no", "UDP)", "default"]
