"""Standard streams that are full, closed, or no longer read."""

import json
import subprocess

import pytest
from samples import sample
from serving import TELTONIKA

IMEI_HEX = "000f333536333037303432343431303133"


def shell(command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", command.replace("teltonika", TELTONIKA)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("arguments", [f"decode {IMEI_HEX}", f"decode --json {IMEI_HEX}", "--help"])
def test_output_that_cannot_be_written_is_one_sentence(arguments: str) -> None:
    result = shell(f"teltonika {arguments} > /dev/full")
    assert result.returncode == 1
    assert result.stderr == "teltonika: cannot write the output: No space left on device\n"


def test_a_reader_that_has_read_enough_is_no_mistake_to_tell() -> None:
    result = shell(f"yes {IMEI_HEX} | head -50000 | teltonika decode --json | head -1")
    assert json.loads(result.stdout)["kind"] == "imei"
    assert result.stderr == ""


def test_closed_streams_are_empty_ones() -> None:
    assert shell("teltonika decode <&-").returncode == 2
    assert shell(f"teltonika decode {IMEI_HEX} >&-").returncode == 0
    assert shell(f"teltonika decode {IMEI_HEX} 2>&- <&-").returncode == 0


@pytest.mark.parametrize("options", ["", "--json --fields", "--csv", "--brief"])
def test_a_terminal_that_lacks_a_character_gets_its_number(options: str) -> None:
    packet = sample("codec8-1").data.hex()
    result = shell(f"PYTHONIOENCODING=ascii teltonika decode {options} {packet}")
    assert (result.returncode, result.stderr) == (0, "")
    if "json" in options:
        (line,) = result.stdout.splitlines()
        assert "°" in {field["meaning"][-1:] for field in json.loads(line)["fields"]}
