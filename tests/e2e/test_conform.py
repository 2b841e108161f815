"""`teltonika conform` against `teltonika serve`, and against nothing."""

import asyncio
import json
import signal
import socket
import subprocess
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from broken_servers import LittleServer, Rule
from own_valkey import OwnValkey
from serving import TELTONIKA, ServerProcess, run_teltonika
from tiny_server import Answer, TinyServer

from teltonika.emulator.conformance import (
    FIRST_IMEI,
    Outcome,
    Patience,
    Target,
    numbered_imei,
    profile_group,
    run_cases,
)
from teltonika.emulator.profiles import read_profile

StartServer = Callable[..., ServerProcess]
UNKNOWN_IMEI = "359999999999996"


def test_our_own_server_passes_all_required_cases_and_warns_of_none(
    valkey: OwnValkey, start_server: StartServer, tmp_path: Path
) -> None:
    client = valkey.start()
    case_count = run_teltonika("conform", "--list", "--json").stdout.count("\n")
    client.sadd("devices:allowed", *(numbered_imei(FIRST_IMEI, n) for n in range(2 * case_count)))
    client.close()
    options = ("--authority", "allow-list", "--strict", "--udp-port", "0")
    server = start_server(*options, redis_url=valkey.url)
    junit = tmp_path / "out.xml"
    result = run_teltonika(
        *("conform", f"127.0.0.1:{server.port}", "--junit", str(junit), "--json"),
        *("--unknown-imei", UNKNOWN_IMEI, "--udp-port", str(server.udp_port)),
    )
    *cases, summary = map(json.loads, result.stdout.splitlines())
    assert [case["name"] for case in cases if case["outcome"] in ("failed", "warned")] == []
    assert result.returncode == 0, result.stderr
    assert summary["passed"] == len(cases) >= 64
    assert {case["group"] for case in cases} >= {"samples", "udp"}
    assert summary["duration_s"] < 60
    root = ElementTree.parse(junit).getroot()
    assert root.get("tests") == str(len(cases)) == str(len(root.findall(".//testcase")))
    assert (root.get("failures"), root.get("skipped")) == ("0", "0")
    assert server.stop() == 0
    assert "Traceback" not in (server.data_dir / "stderr.log").read_text()


def test_a_table_ends_the_run_and_a_line_tells_of_each_case(server: ServerProcess) -> None:
    result = run_teltonika("conform", f"127.0.0.1:{server.port}", "--case", "samples")
    assert result.returncode == 0
    assert "sample-codec8e" in result.stdout
    assert result.stdout.splitlines()[-1].startswith("5 passed, 0 failed, 0 warned, 0 skipped")
    assert result.stderr.splitlines()[0] == "  1/5 passed  sample-codec8-one"


def test_the_server_may_be_named_by_the_environment_and_in_ipv6(server: ServerProcess) -> None:
    environment = {"TELTONIKA_TARGET": f"localhost:{server.port}", "TERM": "dumb"}
    result = run_teltonika("conform", "--case", "ack-once", env=environment)
    assert result.returncode == 0, result.stderr
    refused = run_teltonika("conform", "[::1]:1")
    assert refused.returncode == 2
    assert refused.stderr.startswith("teltonika: nothing to test at [::1]:1: ")


async def test_a_broken_server_is_exit_code_1_with_the_sentence_and_the_bytes(
    tmp_path: Path,
) -> None:
    junit = tmp_path / "out.xml"
    async with LittleServer(Rule.ACKS_WRONG_CRC) as server:
        process = await asyncio.create_subprocess_exec(
            *(TELTONIKA, "conform", f"127.0.0.1:{server.port}", "--timeout", "2"),
            *("--case", "acknowledgement", "--junit", str(junit)),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
    text = output.decode()
    assert process.returncode == 1, errors
    assert "failed ack-wrong-crc" in text
    assert "the ACK says 2 records" in text
    assert "why: CRC-16/IBM (ARC) of codec id" in text
    assert "#1 server  00000002" in text
    assert ElementTree.parse(junit).getroot().get("failures") == "2"


def test_skipped_cases_are_no_failure(server: ServerProcess) -> None:
    result = run_teltonika("conform", f"127.0.0.1:{server.port}", "--case", "udp")
    assert result.returncode == 0
    assert "6 skipped" in result.stdout


def test_ctrl_c_is_one_line_without_a_traceback(server: ServerProcess) -> None:
    command = [TELTONIKA, "conform", f"127.0.0.1:{server.port}", "--case", "ack-once"]
    command += ["--case", "patience-idle-device"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        assert "ack-once" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        assert process.stderr.read() == "teltonika: interrupted\n"
    assert process.returncode == 130


def test_nothing_that_listens_is_one_line_and_exit_code_2() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    result = run_teltonika("conform", f"127.0.0.1:{port}")
    assert result.returncode == 2
    assert result.stderr.startswith(f"teltonika: nothing to test at 127.0.0.1:{port}: ")
    assert result.stderr.count("\n") == 1
    assert result.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["127.0.0.1"], "HOST:PORT: '127.0.0.1' is no address"),
        (["127.0.0.1:99999"], "HOST:PORT: '127.0.0.1:99999' is no address"),
        ([":5027"], "HOST:PORT: ':5027' is no address"),
        (["--case", "nonsense"], "--case: no case and no group is called 'nonsense'"),
        (["--imei", "12"], "--imei: an IMEI is 15 digits"),
        (["--unknown-imei", "x"], "--unknown-imei: an IMEI is 15 digits"),
    ],
)
def test_a_mistake_is_one_sentence_and_exit_code_2(arguments: list[str], says: str) -> None:
    result = run_teltonika("conform", *arguments)
    assert result.returncode == 2
    assert result.stderr.startswith(f"teltonika: {says}")
    assert result.stderr.count("\n") == 1


def test_a_junit_file_that_cannot_be_written_is_said_behind_the_report(
    server: ServerProcess, tmp_path: Path
) -> None:
    file = tmp_path / "not there" / "out.xml"
    result = run_teltonika(
        *("conform", f"127.0.0.1:{server.port}", "--case", "ack-once", "--junit", str(file))
    )
    assert result.returncode == 2
    assert "1 passed" in result.stdout
    assert f"--junit: cannot write {file}: No such file" in result.stderr


def test_the_list_names_each_case_with_its_sentence() -> None:
    result = run_teltonika("conform", "--list")
    assert result.returncode == 0
    assert "ack-wrong-crc (acknowledgement, required)\n    expects: no ACK" in result.stdout
    told = run_teltonika("conform", "--list", "--json").stdout
    objects = [json.loads(line) for line in told.splitlines()]
    assert len(objects) == result.stdout.count("    why: ") >= 60
    assert all(found["source"] and found["expects"] for found in objects)


def test_a_profile_brings_cases_of_its_own(server: ServerProcess) -> None:
    result = run_teltonika(
        *("conform", f"127.0.0.1:{server.port}", "--profile", "fmb640", "--case", "profile"),
        "--json",
    )
    assert result.returncode == 0, result.stderr
    *cases, summary = map(json.loads, result.stdout.splitlines())
    assert summary["passed"] == len(cases) == 4
    stored = server.payloads()
    assert len(stored) == 2 * 255  # the one record is the first of the full packet
    assert all("10" not in payload["attributes"] for payload in stored)
    assert {"78", "70", "239"} <= stored[0]["attributes"].keys()


async def test_a_server_that_counts_wrong_fails_the_cases_of_a_profile() -> None:
    group = profile_group(read_profile("tat100"))
    async with TinyServer([Answer.RIGHT, Answer.WRONG], [Answer.RIGHT, Answer.WRONG]) as server:
        target = Target(host="127.0.0.1", port=server.port, patience=Patience(answer_s=0.5))
        results = [result async for result in run_cases((group,), target)]
    assert [result.outcome for result in results] == [Outcome.FAILED] * 2
