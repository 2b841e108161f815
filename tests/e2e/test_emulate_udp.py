"""`teltonika emulate --transport udp` where datagrams and answers are lost: each record once."""

import asyncio
import json
from asyncio.subprocess import PIPE
from pathlib import Path
from typing import Any

from serving import IMEI, TELTONIKA
from tiny_udp_server import TinyUdpServer

from teltonika.codecs.captures import read_capture
from teltonika.codecs.udp import decode_datagram

LOSSES = "drop=0.1,drop-ack=0.1"


async def emulate(server: TinyUdpServer, *arguments: str) -> dict[str, Any]:
    """The report of a run in which every record was acknowledged."""
    process = await asyncio.create_subprocess_exec(
        *(TELTONIKA, "emulate", "--imei", IMEI, "--port", str(server.port)),
        *("--transport", "udp", "--interval", "0", "--json", *arguments),
        stdout=PIPE,
        stderr=PIPE,
    )
    output, errors = await process.communicate()
    assert process.returncode == 0, errors.decode()
    report: dict[str, Any] = json.loads(output)
    return report


async def test_a_thousand_records_are_stored_once_each(tmp_path: Path) -> None:
    capture = tmp_path / "sent.pcap"
    async with TinyUdpServer() as server:
        report = await emulate(
            *(server, "--records", "1000", "--ack-timeout", "0.05", "--fault", LOSSES),
            *("--record", str(capture)),
        )
    times = [record.timestamp_ms for record in server.records[IMEI]]
    assert len(set(times)) == len(times) == 1000
    assert times == sorted(times)
    assert (report["records_sent"], report["records_acknowledged"]) == (1000, 1000)
    assert report["packets_resent"] == report["ack_timeouts"] > 50
    assert all(report["faults"][name] > 50 for name in ("drop", "drop-ack"))
    # A resent datagram is the first one, byte for byte: so there are a thousand different ones.
    assert len(set(server.datagrams)) == 1000
    assert len({decode_datagram(one).packet_id for one in server.datagrams}) == 1000
    assert server.stored_already == len(server.datagrams) - 1000
    (session,) = read_capture(capture.read_bytes()).sessions
    assert [payload.data for payload in session.device] == server.datagrams


async def test_a_fleet_of_fifty_loses_nothing() -> None:
    async with TinyUdpServer() as server:
        report = await emulate(
            *(server, "--records", "40", "--records-per-packet", "2", "--count", "50"),
            *("--ack-timeout", "0.2", "--fault", f"{LOSSES},duplicate=0.1,counts=0.05"),
        )
    assert report["records_acknowledged"] == 2000
    assert (report["most_connected"], report["corrupt_acknowledged"]) == (50, 0)
    assert {len(records) for records in server.records.values()} == {40}
    assert len(server.records) == 50
    assert set(report["faults"]) == {"drop", "drop-ack", "duplicate", "counts"}


async def test_the_same_seed_sends_the_same_datagrams() -> None:
    async def sent(seed: str) -> list[bytes]:
        async with TinyUdpServer() as server:
            await emulate(
                *(server, "--records", "20", "--seed", seed, "--start-time", "2026-01-31"),
                *("--ack-timeout", "0.3", "--fault", f"{LOSSES},duplicate=0.1,garbage=0.1"),
            )
        return server.datagrams

    first, again, other = await sent("1"), await sent("1"), await sent("2")
    assert first == again
    assert first != other
