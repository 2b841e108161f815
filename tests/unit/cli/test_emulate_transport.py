"""`teltonika emulate --transport udp`: what it says, how it ends."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE
from pathlib import Path

import pytest
from tiny_udp_server import TinyUdpServer
from typer.testing import CliRunner

from teltonika.cli.main import app

IMEI = "356307042441013"
COMMAND = "import typer; from teltonika.cli.emulate import emulate; typer.run(emulate)"
NO_COMMANDS = "--answer-delay, --answer-fault: over UDP no command comes to a device"
THERE_ARE = (
    "over UDP there are delay, length, counts, garbage, duplicate, drop, drop-ack, clock, no-luhn"
)


async def run(port: int, *arguments: str) -> tuple[int | None, str, str]:
    """Exit code, standard output, standard error."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "--imei", IMEI, "--port", str(port)),
        *("--transport", "udp", *arguments),
        stdout=PIPE,
        stderr=PIPE,
    )
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


def refused(*arguments: str) -> str:
    result = CliRunner().invoke(app, ["emulate", *arguments])
    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.count("\n") == 1
    return result.stderr.removeprefix("teltonika: ").rstrip()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--transport udp --tls", "--tls: TLS is for TCP: leave it out, or --transport udp"),
        (
            "--transport udp --tls-insecure",
            "--tls: TLS is for TCP: leave it out, or --transport udp",
        ),
        ("--transport udp --fault crc=0.1", f"--fault: crc is for TCP; {THERE_ARE}"),
        ("--transport udp --fault drop=0.1,rst@3", f"--fault: rst is for TCP; {THERE_ARE}"),
        ("--fault drop=0.1", "--fault: drop is for UDP: TCP itself sends lost segments again"),
        ("--transport udp --answer-delay 1", NO_COMMANDS),
        ("--transport udp --answer-fault double", NO_COMMANDS),
    ],
)
def test_what_cannot_be_gets_one_sentence(arguments: str, sentence: str) -> None:
    assert refused("--imei", IMEI, *arguments.split()) == sentence


@pytest.mark.parametrize(
    ("transport", "step", "sentence"),
    [
        ("udp", 'do = "ask"\nrun = ["true"]', "ask is for TCP: over UDP no command comes"),
        ("udp", 'do = "fault"\nfault = "half-open"', f"half-open is for TCP; {THERE_ARE}"),
        ("tcp", 'do = "fault"\nfault = "drop"', "drop is for UDP: TCP itself sends"),
    ],
)
def test_a_step_that_cannot_be_gets_one_sentence(
    tmp_path: Path, transport: str, step: str, sentence: str
) -> None:
    file = tmp_path / "night.toml"
    file.write_text(
        f'[emulate]\nimei = "{IMEI}"\ntransport = "{transport}"\n'
        f'[[steps]]\nat = 0\ndo = "panic"\n[[steps]]\nat = 1\n{step}\n'
    )
    said = refused("--scenario", str(file))
    assert said.startswith(f"--scenario: night: step 2: {sentence}")


async def test_the_report_is_that_of_tcp() -> None:
    async with TinyUdpServer() as server:
        code, output, errors = await run(
            *(server.port, "--records", "5", "--records-per-packet", "2", "--interval", "0"),
            "--json",
        )
    assert code == 0
    report = json.loads(output)
    assert output.count("\n") == 1
    assert (report["records_sent"], report["records_acknowledged"]) == (5, 5)
    assert (report["packets_sent"], report["connections"]) == (3, 1)
    assert errors == f"{IMEI}: connected to 127.0.0.1:{server.port} over UDP\n"


async def test_nobody_listening_is_said_and_ends_with_1() -> None:
    async with TinyUdpServer() as gone:
        pass
    code, output, errors = await run(gone.port, "--give-up-after", "1")
    assert code == 1
    first, *_, last = errors.splitlines()
    assert first.startswith(
        f"{IMEI}: 127.0.0.1:{gone.port} over UDP: connection refused; trying again in "
    )
    assert last == "teltonika: gave up: nothing was acknowledged for 1 s"
    assert "reconnects: " in output
    assert "Traceback" not in errors


async def test_a_scenario_goes_its_way_over_udp(tmp_path: Path) -> None:
    file = tmp_path / "day.toml"
    file.write_text(
        '[emulate]\ntransport = "udp"\ninterval = 0.05\nduration = 1.5\ncount = 4\n'
        "ack-timeout = 0.1\nrestart-after = 0.1\n"
        '[[steps]]\nat = 0.2\ndo = "lose-network"\nfor = 0.3\ndevices = [1]\n'
        '[[steps]]\nat = 0.2\ndo = "sleep"\nfor = 0.3\ndevices = [2]\n'
        '[[steps]]\nat = 0.2\ndo = "reboot"\ndevices = [3]\n'
        '[[steps]]\nat = 0.2\ndo = "fault"\nfault = "drop"\n'
        '[[steps]]\nwhen = { records_acknowledged = 3 }\ndo = "panic"\n'
        '[[steps]]\nat = 0.6\ndo = "codec"\ncodec = "8"\n'
        "[expect]\nat_least = { connections = 7, ack_timeouts = 4 }\n"
    )
    async with TinyUdpServer() as server:
        code, output, errors = await run(server.port, "--scenario", str(file), "--json")
    assert code == 0, output + errors
    report = json.loads(output)
    assert report["complete"]
    assert report["faults"] == {"drop": 4}
    assert sum(map(len, server.records.values())) == report["records_acknowledged"]
    for records in server.records.values():
        assert [record.priority for record in records].count(2) == 1
        assert [record.timestamp_ms for record in records] == sorted(
            {record.timestamp_ms for record in records}
        )
    assert {datagram[23] for datagram in server.datagrams} == {0x8E, 0x08}
