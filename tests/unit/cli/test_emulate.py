"""`teltonika emulate`: what it prints, how it ends."""

import asyncio
import json
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
import typer
from free_ports import free_port
from tiny_server import Answer, TinyServer
from typer.testing import CliRunner

from teltonika.cli.emulate import emulate
from teltonika.codecs import AVL_CODECS, COMMAND_CODECS, AvlPacket, decode_packet, encode_message

IMEI = "356307042441013"
RIGHT, SILENCE = Answer.RIGHT, Answer.SILENCE
COMMAND = "import typer; from teltonika.cli.emulate import emulate; typer.run(emulate)"


async def start(*arguments: str) -> Process:
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", COMMAND, "--imei", IMEI, *arguments), stdout=PIPE, stderr=PIPE
    )


async def finish(process: Process) -> tuple[int | None, str, str]:
    """Exit code, standard output, standard error."""
    output, errors = await process.communicate()
    return process.returncode, output.decode(), errors.decode()


async def run(port: int, *arguments: str) -> tuple[int | None, str, str]:
    return await finish(await start("--port", str(port), *arguments))


@asynccontextmanager
async def command_station(commands: str) -> AsyncIterator[int]:
    """The port of a server that acknowledges packets of one record, and behind each ACK sends the
    next of ``commands``, which have commas between them."""
    waiting = commands.split(",")

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(17)
        writer.write(b"\x01")
        try:
            while True:
                header = await reader.readexactly(8)
                data = await reader.readexactly(int.from_bytes(header[4:]) + 4)
                if data[0] == 0x8E:
                    writer.write(b"\0\0\0\1")
                    if waiting:
                        command = COMMAND_CODECS.by_name("12").command(waiting.pop(0), IMEI)
                        writer.write(encode_message(command))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--imei", "35630704244101"], "--imei: an IMEI is 15 digits; '35630704244101' is not"),
        (["--imei", ""], "--imei: an IMEI is 15 digits; '' is not"),
        (["--imei", IMEI, "--codec", "9"], "--codec: no codec is called '9': one of 8, 8E, 16"),
        (["--imei", IMEI, "--host", "a..b"], "--host: 'a..b' is no host name and no address"),
        (["--imei", IMEI, "--host", ""], "--host: '' is no host name and no address"),
        (
            ["--imei", IMEI, "--start-time", "yesterday"],
            "--start-time: 'yesterday' is no time such as 2026-01-31T08:00:00Z",
        ),
        (
            ["--imei", IMEI, "--start-time", "1969-12-31"],
            "--start-time: '1969-12-31' is before 1970, where AVL timestamps begin",
        ),
    ],
)
def test_a_wrong_value_gets_one_sentence_and_exit_code_2(
    arguments: list[str], sentence: str
) -> None:
    app = typer.Typer()
    app.command()(emulate)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stderr == f"teltonika: {sentence}\n"
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["--imei", IMEI, "--records-per-packet", "0"],
        ["--imei", IMEI, "--records-per-packet", "256"],
        ["--imei", IMEI, "--records", "-1"],
        ["--imei", IMEI, "--interval", "-1"],
        ["--imei", IMEI, "--interval", "inf"],
        ["--imei", IMEI, "--interval", "nan"],
        ["--imei", IMEI, "--port", "0"],
        ["--imei", IMEI, "--ack-timeout", "0"],
        ["--imei", IMEI, "--give-up-after", "0"],
        ["--imei", IMEI, "--answer-delay", "-1"],
        ["--imei", IMEI, "--answer-fault", "late"],
        ["--imei", IMEI, "--restart-after", "-1"],
    ],
)
def test_a_value_out_of_range_is_wrong_usage(arguments: list[str]) -> None:
    app = typer.Typer()
    app.command()(emulate)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


async def test_json_is_one_object_and_nothing_else() -> None:
    async with TinyServer() as server:
        code, output, errors = await run(
            *(server.port, "--records", "5", "--records-per-packet", "2", "--interval", "0"),
            "--json",
        )
    assert code == 0
    report = json.loads(output)
    assert output.count("\n") == 1
    assert report["imei"] == IMEI
    assert (report["records_sent"], report["records_acknowledged"]) == (5, 5)
    assert (report["packets_sent"], report["records_resent"]) == (3, 0)
    assert errors == f"{IMEI}: connected to 127.0.0.1:{server.port}\n"


async def test_a_person_gets_a_table_of_sent_acknowledged_and_sent_again() -> None:
    async with TinyServer([RIGHT, Answer.WRONG]) as server:
        code, output, errors = await run(
            *(server.port, "--records", "6", "--records-per-packet", "3", "--interval", "0")
        )
    assert code == 0
    rows = [line.replace("│", " ").split() for line in output.splitlines()]
    assert ["sent", "6", "2"] in rows
    assert ["acknowledged", "6", "2"] in rows
    assert ["sent", "again", "3", "1"] in rows
    assert "wrong ACKs: 1" in output
    assert "an ACK of 4 records where 3 were in flight" in errors


@pytest.mark.parametrize(
    ("options", "answers"),
    [
        ([], 1),
        (["--answer-fault", "double"], 2),
        (["--answer-fault", "withhold"], 0),
        (["--answer-delay", "3600"], 0),
    ],
)
async def test_the_report_says_what_was_executed_and_what_was_answered(
    options: list[str], answers: int
) -> None:
    async with command_station("getinfo,nonsense") as port:
        code, output, errors = await run(
            *(port, "--records", "4", "--interval", "0.05", "--json", *options)
        )
    assert code == 0
    assert output.count("\n") == 1
    report = json.loads(output)
    assert (report["commands_received"], report["commands_executed"]) == (2, 1)
    assert report["commands"] == {"getinfo": 1}
    assert (report["nacks"], report["answers"], report["restarts"]) == (0, answers, 0)
    assert f"{IMEI}: executed getinfo\n" in errors
    assert f"{IMEI}: did not execute nonsense: it is unknown\n" in errors


async def test_a_restart_takes_as_long_as_it_is_told() -> None:
    async with command_station("cpureset") as port:
        code, output, errors = await run(
            *(port, "--records", "2", "--interval", "0.05", "--restart-after", "0.4")
        )
    assert code == 0
    assert "it starts again, as it was told; trying again in 0.4 s" in errors
    assert "commands received: 1, executed: 1; answers sent: 0\n" in output
    assert "reconnects: 1; restarts: 1\n" in output


@pytest.mark.parametrize("codec", ["8", "8e", "16"])
async def test_start_time_and_seed_make_the_bytes_the_same_again(codec: str) -> None:
    arguments = (
        *("--records", "4", "--interval", "0", "--codec", codec),
        *("--start-time", "2026-01-31T09:00:00.250+01:00"),
    )
    async with TinyServer() as server:
        for seed in ("1", "1", "2"):
            assert (await run(server.port, *arguments, "--seed", seed))[0] == 0
        first, again, other = server.packets
    assert first == again != other
    packet: AvlPacket = decode_packet(first[0])
    assert packet.codec_id == AVL_CODECS.by_name(codec).codec_id
    assert packet.records[0].timestamp_ms == 1_769_846_400_250


async def test_a_record_never_acknowledged_is_exit_code_1() -> None:
    async with TinyServer(*[[RIGHT, SILENCE]] * 100) as server:
        code, output, errors = await run(
            *(server.port, "--ack-timeout", "0.2", "--give-up-after", "0.7", "--json")
        )
    assert code == 1
    report = json.loads(output)
    assert (report["records_sent"], report["records_acknowledged"]) == (1, 0)
    assert report["gave_up"] is True
    assert "no ACK in time; trying again in" in errors
    assert errors.endswith("teltonika: gave up: nothing was acknowledged for 0.7 s\n")


async def test_a_refused_connection_is_one_line_and_no_traceback() -> None:
    port = free_port()
    code, output, errors = await run(port, "--give-up-after", "0.1")
    assert code == 1
    assert "sent" in output
    refused, gave_up = errors.splitlines()
    assert refused.startswith(f"{IMEI}: 127.0.0.1:{port}: connection refused; trying again in 0.")
    assert gave_up == "teltonika: gave up: nothing was acknowledged for 0.1 s"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_a_signal_ends_it_with_the_report(number: signal.Signals) -> None:
    async with TinyServer() as server:
        process = await start("--port", str(server.port), "--records", "0", "--json")
        await server.packet_came.wait()
        process.send_signal(number)
        code, output, _ = await finish(process)
    report = json.loads(output)
    assert code == 0
    assert report["records_sent"] == report["records_acknowledged"] >= 1


async def test_a_second_signal_waits_for_nothing_and_what_was_in_flight_is_exit_code_1() -> None:
    async with TinyServer([RIGHT, SILENCE]) as server:
        process = await start("--port", str(server.port), "--ack-timeout", "100", "--json")
        await server.packet_came.wait()
        assert process.stderr is not None
        process.send_signal(signal.SIGINT)
        line = b""
        while b"stopping" not in line:
            line = await process.stderr.readline()
        process.send_signal(signal.SIGINT)
        code, output, errors = await finish(process)
    assert code == 1
    assert json.loads(output)["records_acknowledged"] == 0
    assert errors == "teltonika: 1 of 1 records were never acknowledged\n"
