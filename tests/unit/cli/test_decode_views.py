"""The views of `teltonika decode` for a person, and the bytes that --fields lists."""

import json
import os

import pytest
from golden_views import GOLDEN, VIEWS, view
from samples import HANDSHAKE, PACKET, SAMPLES, Sample, sample
from serving import run_teltonika
from typer.testing import CliRunner

from teltonika.cli.decode import app


@pytest.mark.parametrize("name", VIEWS)
def test_a_view_is_as_it_was_looked_at(name: str) -> None:
    assert view(name) == GOLDEN.joinpath(f"{name}.txt").read_text()


def test_every_golden_file_has_its_view() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == set(VIEWS)


@pytest.mark.parametrize("name", [name for name in VIEWS if "csv" not in name])
def test_a_dump_has_80_columns_at_most(name: str) -> None:
    for line in view(name).splitlines():
        assert len(line) <= 80 or line.startswith(("byte ", "likely: "))


@pytest.mark.parametrize("sample", SAMPLES, ids=str)
def test_fields_name_every_byte_of_a_published_sample_once(sample: Sample) -> None:
    result = CliRunner().invoke(app, ["--json", "--fields", sample.data.hex()])
    assert result.exit_code == (1 if sample.kind == "error" else 0)
    end = 0
    for line in result.stdout.splitlines():
        for field in json.loads(line)["fields"]:
            assert set(field) == {"offset", "length", "name", "hex", "value", "meaning"}
            assert field["offset"] == end
            end += field["length"]
            assert bytes.fromhex(field["hex"]) == sample.data[field["offset"] : end]
            assert field["name"]
            assert sample.kind == "error" or field["value"] is not None
    assert end == len(sample.data)


def test_elements_are_named_as_in_the_dictionary() -> None:
    dump = view("codec8-1")
    assert "[42 5E0F]" in dump
    assert "IO 66 External Voltage = 24.079 V" in dump
    assert "2019-06-10" in dump
    assert "24079 mV" in view_of("--model", "fmb640", PACKET.hex())


def view_of(*arguments: str) -> str:
    return CliRunner().invoke(app, arguments, env={"COLUMNS": "120"}).stdout


def test_a_broken_packet_says_what_likely_happened() -> None:
    assert "the preamble and the length field were counted" in view("error-length-off-by-8")
    assert "<- here" in view("error-crc")


@pytest.mark.parametrize(("environment", "coloured"), [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_are_off_with_no_color(environment: dict[str, str], coloured: bool) -> None:
    forced = {**os.environ, "FORCE_COLOR": "1", "TERM": "xterm-256color", **environment}
    result = run_teltonika("decode", PACKET.hex(), env=forced)
    assert ("\x1b[32m" in result.stdout) is coloured
    assert "\x1b" not in run_teltonika("decode", PACKET.hex()).stdout


def test_a_lenient_reading_takes_the_whole_records_of_a_cut_packet() -> None:
    two = sample("codec8-3-two-records").data
    result = CliRunner().invoke(app, ["--json", "--lenient", two[:-20].hex()])
    avl, error = (json.loads(line) for line in result.stdout.splitlines())
    assert result.exit_code == 1
    assert (avl["kind"], len(avl["records"])) == ("avl", 1)
    assert (error["kind"], error["error"]) == ("error", "truncated")


def test_a_lenient_reading_goes_on_behind_what_it_does_not_know() -> None:
    data = PACKET + b"\xfe\xed\x00\x00" + HANDSHAKE + b"\x11" + PACKET
    strict = CliRunner().invoke(app, ["--json", data.hex()])
    lenient = CliRunner().invoke(app, ["--json", "--lenient", data.hex()])
    kinds = [
        [json.loads(line)["kind"] for line in r.stdout.splitlines()] for r in (strict, lenient)
    ]
    assert kinds == [["avl", "error"], ["avl", "error", "imei", "error", "avl"]]
    assert lenient.exit_code == 1


def test_a_lenient_reading_looks_into_a_packet_that_says_a_wrong_length() -> None:
    wrong_length = PACKET[:7] + bytes((PACKET[7] + len(PACKET),)) + PACKET[8:]
    data = wrong_length + PACKET + PACKET
    result = CliRunner().invoke(app, ["--json", "--lenient", data.hex()])
    found = [json.loads(line) for line in result.stdout.splitlines()]
    avl = [(one["offset"], one["length"]) for one in found if one["kind"] == "avl"]
    size = len(PACKET)
    assert avl[-2:] == [(size, size), (2 * size, size)]


def test_a_lenient_reading_takes_the_whole_records_of_a_broken_datagram() -> None:
    """And does not take the IMEI inside of it for another thing."""
    datagram = sample("codec8-udp").data
    broken = datagram[:-1] + b"\x02"  # number of data 2
    data = broken + datagram
    result = CliRunner().invoke(app, ["--json", "--lenient", data.hex()])
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [one["kind"] for one in found] == ["avl", "error", "avl"]
    partly, error, whole = found
    assert partly["records"] == whole["records"]
    assert partly["imei"] == whole["imei"]
    assert (error["error"], error["offset"]) == ("record_count_mismatch", len(datagram) - 1)
    assert whole["offset"] == len(datagram)


@pytest.mark.parametrize("data", [PACKET, HANDSHAKE + PACKET])
def test_what_is_no_datagram_is_one_error_over_udp(data: bytes) -> None:
    result = CliRunner().invoke(app, ["--json", "--transport", "udp", data.hex()])
    (error,) = (json.loads(line) for line in result.stdout.splitlines())
    assert (error["transport"], error["offset"], error["length"]) == ("udp", 0, len(data))
    assert result.exit_code == 1


def test_a_packet_that_is_said_to_be_a_datagram_is_told_from_one() -> None:
    assert "a packet as it is sent over TCP" in view_of("--transport", "udp", PACKET.hex())


def test_a_length_that_is_too_small_is_told_from_what_stands_behind() -> None:
    short = PACKET[:7] + bytes((PACKET[7] - 8,)) + PACKET[8:]
    cause = "it is off by -8"
    assert cause in view_of(short.hex())
    assert cause in view_of(short.hex() + PACKET.hex())


def kinds_of(ndjson: str) -> list[str]:
    return [json.loads(line)["kind"] for line in ndjson.splitlines()]


def test_csv_has_a_row_for_each_record_with_the_imei_before_it() -> None:
    head, first, *others = view("session-csv").splitlines()[:-1]
    assert head.startswith("imei,codec,timestamp_ms,timestamp,priority,longitude,latitude")
    assert first.startswith("356307042441013,8,1560161086000,2019-06-10T10:04:46.000Z,1,0.0,0.0")
    assert first.endswith(",21=3 1=1 66=24079 241=24602 78=0")
    assert len(others) == 2


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--brief", "--json"], "one of them at a time"),
        (["--fields"], "goes with --json"),
        (["--transport", "sms"], "tcp"),
        (["--model", "FMB92O"], "FMB920"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(options: list[str], said: str) -> None:
    result = run_teltonika("decode", "hexdump", *options, "00")
    assert result.returncode == 2
    assert said in result.stderr


def test_who_sent_the_bytes_and_how_can_be_told() -> None:
    ambiguous = "00000001"
    as_server = CliRunner().invoke(app, ["--json", "--from", "server", ambiguous])
    as_device = CliRunner().invoke(app, ["--json", "--from", "device", ambiguous])
    assert json.loads(as_server.stdout.splitlines()[-1])["kind"] == "ack"
    assert json.loads(as_device.stdout)["error"] == "bad_preamble"
    udp = sample("codec8-udp").data.hex()
    told = CliRunner().invoke(app, ["--transport", "tcp", udp])
    assert "this is a UDP datagram, not what is sent over TCP" in told.stdout
