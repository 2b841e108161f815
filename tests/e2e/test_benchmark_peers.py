"""A decoder of someone else's has a figure only where it is installed and reads what we read."""

import importlib.metadata
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from benchmarks.peers import PEERS, figure, measure, versions
from benchmarks.peers.javascript import JavaScriptPeer
from benchmarks.peers.peer import Reading, Timed, first_difference
from benchmarks.peers.python import CodecsProtocol
from benchmarks.workloads import WORKLOADS
from teltonika.codecs import AvlPacket, AvlRecord, decode_packet

W1, W2, W3, W4 = WORKLOADS
needs_node = pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")

FIGURES = {
    "codecs-protocol": {"W1", "W4"},
    "complete-teltonika-parser": {"W1", "W2", "W4"},
    "teltonika-parser": set(),
}
"""The workloads that each reads as we do, of its pinned version."""


def our_reading(record: AvlRecord) -> Reading:
    return Reading(
        timestamp_ms=record.timestamp_ms,
        priority=record.priority,
        longitude=record.longitude_e7 / 1e7,
        latitude=record.latitude_e7 / 1e7,
        altitude=record.altitude,
        angle=record.angle,
        satellites=record.satellites,
        speed=record.speed,
        event_io_id=record.event_io_id,
        io={
            str(io.id): str(int.from_bytes(io.value) if isinstance(io.value, bytes) else io.value)
            for io in record.io
        },
    )


def our_readings(packet: bytes) -> list[Reading]:
    decoded = decode_packet(packet)
    assert isinstance(decoded, AvlPacket)
    return [our_reading(record) for record in decoded.records]


def without_peers(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    monkeypatch.setitem(sys.modules, "codecs_protocol", None)


@needs_node
def test_what_is_not_installed_says_how_to_install_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    without_peers(monkeypatch)
    peers = (CodecsProtocol(), JavaScriptPeer("teltonika-parser", tmp_path))
    expected = {
        "codecs-protocol": "not installed: pip install -e '.[bench]'",
        "teltonika-parser": "not installed: npm ci in benchmarks/peers",
    }
    assert measure(30, 1, peers) == dict.fromkeys(("W1", "W2", "W3", "W4"), expected)
    found = versions(peers)
    assert found.pop("node").startswith("v")
    assert found == expected


def test_without_node_its_peers_are_not_installed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    peers = (JavaScriptPeer("teltonika-parser"),)
    sentence = "not installed: no node on the path"
    assert versions(peers) == {"teltonika-parser": sentence, "node": sentence}
    assert measure(30, 1, peers)["W1"] == {"teltonika-parser": sentence}


@pytest.mark.parametrize("workload", WORKLOADS, ids=lambda workload: workload.name)
def test_our_own_reading_has_no_difference(workload: Any) -> None:
    (packet,) = workload.packets(1, 1)
    assert first_difference(our_readings(packet), packet) is None


@pytest.mark.parametrize("field", [name for name in Reading.__struct_fields__ if name != "io"])
@pytest.mark.parametrize("change", [lambda value: value + 1, lambda _: None], ids=["+1", "none"])
def test_a_wrong_field_of_any_record_is_found(field: str, change: Callable[[Any], Any]) -> None:
    (packet,) = W2.packets(1, 1)
    readings = our_readings(packet)
    wrong = change(getattr(readings[-1], field))
    readings[-1] = msgspec.structs.replace(readings[-1], **{field: wrong})
    difference = first_difference(readings, packet)
    assert difference is not None
    assert difference.startswith("record 7: ")
    assert f"{wrong} instead of" in difference


@pytest.mark.parametrize("place", range(20))
def test_a_wrong_missing_or_exchanged_io_element_is_found(place: int) -> None:
    (packet,) = W2.packets(1, 1)
    readings = our_readings(packet)
    io = readings[3].io
    name = list(io)[place]
    others = {key: value for key, value in io.items() if key != name}
    for wrong in (others | {name: io[name] + "0"}, others, others | {"9999": io[name]}):
        broken = readings.copy()
        broken[3] = msgspec.structs.replace(readings[3], io=wrong)
        assert "IO element" in (first_difference(broken, packet) or "")


def test_a_fixed_width_value_may_be_read_as_signed() -> None:
    (packet,) = W1.packets(1, 1)
    readings = our_readings(packet)
    value = int(readings[0].io["12"])
    assert value >= 2**63
    io = readings[0].io | {"12": str(value - 2**64)}
    readings[0] = msgspec.structs.replace(readings[0], io=io)
    assert first_difference(readings, packet) is None


def test_too_few_records_in_a_later_packet_are_no_figure() -> None:
    class Forgetful:
        name = "forgetful"

        def version(self) -> str:
            return "1"

        def read(self, packet: bytes) -> list[Reading]:
            return our_readings(packet)

        def time(self, packets: list[bytes]) -> Timed:
            return Timed(len(packets), 15 * len(packets) - 1, 1.0)

    sentence = "fails: 29 records in 2 packets that hold 30"
    assert figure(Forgetful(), W1, W1.packets(2, 1)) == sentence


def install(folder: Path, constructor: str) -> JavaScriptPeer:
    """A package of that name whose parser does this."""
    package = folder / "node_modules" / "complete-teltonika-parser"
    package.mkdir(parents=True)
    manifest = {"name": package.name, "version": "9.9.9", "main": "index.js"}
    (package / "package.json").write_text(json.dumps(manifest))
    source = f"exports.ProtocolParser = class {{ constructor(packet) {{ {constructor} }} }};"
    (package / "index.js").write_text(source)
    return JavaScriptPeer(package.name, folder)


def always(reading: Reading) -> str:
    """The body of a parser that finds this one record in everything."""
    record = {
        "Priority": reading.priority,
        "GPSelement": {
            "Longitude": reading.longitude,
            "Latitude": reading.latitude,
            "Altitude": reading.altitude,
            "Angle": reading.angle,
            "Satellites": reading.satellites,
            "Speed": reading.speed,
        },
        "IOelement": {"EventID": reading.event_io_id, "Elements": reading.io},
    }
    timestamp = f"Timestamp: new Date({reading.timestamp_ms})"
    return f"this.Content = {{ AVL_Datas: [{{ ...{json.dumps(record)}, {timestamp} }}] }};"


@needs_node
def test_a_package_that_reads_right_has_a_figure_and_a_version(tmp_path: Path) -> None:
    packets = W4.packets(3, 1)
    peer = install(tmp_path, always(our_readings(packets[0])[0]))
    rate = figure(peer, W4, packets)
    assert isinstance(rate, float)
    assert rate > 1
    assert versions((peer,))[peer.name] == "9.9.9"


@needs_node
def test_a_package_that_reads_a_value_wrongly_fails(tmp_path: Path) -> None:
    packets = W4.packets(3, 1)
    (reading,) = our_readings(packets[0])
    wrong = msgspec.structs.replace(reading, io=reading.io | {"19": "1.5"})
    sentence = f"fails: record 0: IO element 19 1.5 instead of {reading.io['19']}"
    assert figure(install(tmp_path, always(wrong)), W4, packets) == sentence


@needs_node
@pytest.mark.parametrize(
    ("constructor", "sentence"),
    [
        ("throw new Error('no such codec');", "fails: no such codec"),
        ("", "fails: 0 records in a packet of 1"),
        ("process.exit(3);", "fails: node ends with 3"),
        ("process.kill(process.pid, 'SIGKILL');", "fails: node ends with -9"),
    ],
)
def test_a_package_that_breaks_fails(tmp_path: Path, constructor: str, sentence: str) -> None:
    assert figure(install(tmp_path, constructor), W4, W4.packets(3, 1)) == sentence


@needs_node
def test_a_package_whose_record_lacks_a_field_fails(tmp_path: Path) -> None:
    (reading,) = our_readings(W4.packets(1, 1)[0])
    constructor = always(reading).replace('"Priority"', '"Urgency"')
    failure = figure(install(tmp_path, constructor), W4, W4.packets(1, 1))
    assert str(failure).startswith("fails: what it gives is no record: ")


def test_codecs_protocol_fails_if_it_loses_an_io_element(monkeypatch: pytest.MonkeyPatch) -> None:
    import codecs_protocol as module

    right = module.Codec8.decode_io_data

    async def losing(self: Any, data: str, offset: int) -> tuple[dict[str, Any], int]:
        io, end = await right(self, data, offset)
        io["two_byte_io"].pop()
        return io, end

    monkeypatch.setattr(module.Codec8, "decode_io_data", losing)
    sentence = "fails: record 0: number of IO elements 11 instead of 12"
    assert figure(CodecsProtocol(), W1, W1.packets(1, 1)) == sentence


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_installed_peers_have_a_figure_of_the_workloads_that_they_read(peer: Any) -> None:
    if versions((peer,))[peer.name].startswith("not installed"):
        pytest.skip(f"{peer.name} is not installed")
    results = measure(300, 1, (peer,))
    figures = {name for name, of in results.items() if isinstance(of[peer.name], float)}
    assert figures == FIGURES[peer.name]
