"""`teltonika emulate` against `teltonika serve`: two processes, one TCP session."""

import asyncio
import json
import os
import signal
import ssl
import subprocess
from asyncio.subprocess import PIPE
from datetime import datetime, timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest
from certificates import Certificates
from payloads import expected_payload, fields_of
from serving import IMEI, STREAM, TELTONIKA, ServerProcess, run_teltonika
from tiny_server import TinyServer

from teltonika.codecs import AVL_CODECS
from teltonika.emulator import Drive

START = datetime.fromisoformat("2026-01-31T08:00:00.000Z")


def emulate(server: ServerProcess, *options: str) -> list[str]:
    return ["emulate", "--imei", IMEI, "--port", str(server.port), "--json", *options]


def drive_payloads(count: int, *, codec: str) -> list[dict[str, Any]]:
    """The records of the drive that seed 5 gives this IMEI from START on, a second apart."""
    drive = Drive(
        Random(f"5/{IMEI}"),
        start_ms=int(START.timestamp() * 1000),
        period_s=1.0,
        generation_type=codec == "16",
    )
    times = (START + timedelta(seconds=number) for number in range(count))
    stamps = (time.isoformat(timespec="milliseconds").replace("+00:00", "Z") for time in times)
    records = islice(drive, count)
    return [
        expected_payload(IMEI, fields_of(record, stamp))
        for record, stamp in zip(records, stamps, strict=True)
    ]


@pytest.mark.parametrize("codec", [codec.name for codec in AVL_CODECS])
def test_a_thousand_records_arrive_as_they_were_sent(codec: str, server: ServerProcess) -> None:
    result = run_teltonika(
        *emulate(server, "--codec", codec, "--records", "1000", "--records-per-packet", "10"),
        *("--interval", "0", "--seed", "5", "--start-time", START.isoformat()),
    )
    assert (result.returncode, result.stdout.count("\n")) == (0, 1), result.stderr
    report = json.loads(result.stdout)
    assert report["records_sent"] == report["records_acknowledged"] == 1000
    assert report["packets_sent"] == report["packets_acknowledged"] == 100
    assert report["records_resent"] == 0
    assert server.redis.xlen(STREAM) == 1000
    assert server.payloads() == drive_payloads(1000, codec=codec)
    assert {entry["codec"] for entry in server.entries()} == {codec}


def test_nothing_acknowledged_is_missing_when_valkey_is_killed_in_mid_stream(
    start_server: Any,
) -> None:
    server: ServerProcess = start_server()
    command = [TELTONIKA, *emulate(server, "--records", "6000", "--records-per-packet", "5")]
    command += ["--interval", "0", "--seed", "5", "--start-time", START.isoformat()]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as emulator:
        last_id, seen = "0", 0
        while seen < 1000:  # somewhere in the middle, with packets under way
            ((_, entries),) = server.redis.xread({STREAM: last_id}, block=30_000)
            seen += len(entries)
            last_id = entries[-1][0]
        os.kill(server.valkey_pid, signal.SIGKILL)
        assert emulator.stdout is not None
        report = json.loads(emulator.stdout.read())
    assert emulator.returncode == 0
    assert report["records_acknowledged"] == 6000
    assert len(server.logged("valkey_died")) == 1
    server.redis.close()
    assert server.stop() == 0

    again: ServerProcess = start_server()
    payloads = {payload["timestamp"]: payload for payload in again.payloads()}
    assert list(payloads.values()) == drive_payloads(6000, codec="8E")


def test_a_server_that_is_not_there_is_waited_for_and_then_given_up(tmp_path: Any) -> None:
    result = run_teltonika(
        *("emulate", "--imei", IMEI, "--port", "1", "--give-up-after", "0.4", "--json")
    )
    assert result.returncode == 1
    assert json.loads(result.stdout)["gave_up"] is True
    assert "gave up" in result.stderr
    assert "Traceback" not in result.stderr


async def test_tls_with_both_ends_verified_can_be_asked_for_by_the_environment(
    tmp_path: Path,
) -> None:
    certificates = Certificates(tmp_path)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.ca)
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(certificates.server_cert, certificates.server_key)
    async with TinyServer(ssl=context) as server:
        process = await asyncio.create_subprocess_exec(
            *(TELTONIKA, "emulate", "--imei", IMEI, "--port", str(server.port), "--json"),
            *("--records", "500", "--records-per-packet", "50", "--interval", "0"),
            stdout=PIPE,
            stderr=PIPE,
            env=os.environ
            | {
                "TELTONIKA_TLS": "1",
                "TELTONIKA_TLS_CA": str(certificates.ca),
                "TELTONIKA_TLS_CERT": str(certificates.client_cert),
                "TELTONIKA_TLS_KEY": str(certificates.client_key),
                "TELTONIKA_TLS_SERVER_NAME": "localhost",
            },
        )
        output, errors = await process.communicate()
        (received,) = server.connections
    assert process.returncode == 0, errors
    assert json.loads(output)["records_acknowledged"] == len(received.records) == 500
    assert errors.decode() == f"{IMEI}: connected to 127.0.0.1:{server.port} over TLS\n"
