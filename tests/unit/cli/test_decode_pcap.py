"""`teltonika decode pcap` as its users call it."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from captured_frames import FIN, SYN, ethernet, pcap, tcp
from captures import CAPTURE_NAMES, PCAPS
from serving import TELTONIKA, run_teltonika

from benchmarks.captures import capture
from benchmarks.peak_memory import peak_kib
from benchmarks.workloads import WORKLOADS
from teltonika.codecs import CommandMessage, MessageType, encode_imei, encode_message

HELLO = encode_imei("356307042441013")
RESEND = PCAPS / "resend-after-lost-ack.pcap"


def objects(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def session(*packets: bytes) -> bytes:
    """A capture of what a device sends in one connection."""
    frames, seq = [tcp(seq=99, flags=SYN)], 100
    for packet in (HELLO, *packets):
        frames.append(tcp(packet, seq=seq))
        seq += len(packet)
    return pcap(map(ethernet, [*frames, tcp(seq=seq, flags=FIN)]))


@pytest.mark.parametrize("name", CAPTURE_NAMES)
def test_each_capture_gives_exactly_the_json_beside_it(name: str) -> None:
    expected = json.loads((PCAPS / f"{name}.json").read_text())
    result = run_teltonika("decode", "pcap", "--json", str(PCAPS / f"{name}.pcap"))
    assert objects(result.stdout) == expected
    failed = any(found["kind"] == "error" for found in expected)
    assert (result.returncode, result.stderr) == (int(failed), "")


def test_standard_input_is_decoded_as_it_comes() -> None:
    data = (PCAPS / "codec8e.pcap").read_bytes()
    command = [TELTONIKA, "decode", "pcap", "--json", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(data[:-1])
        process.stdin.flush()
        lines = [process.stdout.readline() for _ in range(4)]  # while the file has no end yet
        process.stdin.write(data[-1:])
        process.stdin.close()
        assert process.stdout.read() == b""
        assert process.wait(timeout=30) == 0
    expected = json.loads((PCAPS / "codec8e.json").read_text())
    assert list(map(json.loads, lines)) == expected


def test_a_person_sees_conversations_and_what_went_wrong() -> None:
    result = run_teltonika("decode", "pcap", str(RESEND))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [
        "session 0, tcp, device 198.51.100.122:62250, server 192.0.2.10:5027, IMEI 356307042441120",
        "  2024-05-14T08:30:00.072Z  356307042441120  device > IMEI 356307042441120",
        "  2024-05-14T08:30:00.075Z  356307042441120  server < IMEI accepted",
        (
            "  2024-05-14T08:30:00.139Z  356307042441120  device > AVL packet, codec 8, 1 record, "
            "2019-06-10T10:04:46.000Z"
        ),
        (
            "! 2024-05-14T08:30:30.209Z  356307042441120  no ACK: the packet at byte 17, "
            "2024-05-14T08:30:00.139Z; closed by the device"
        ),
        "  2024-05-14T08:30:30.209Z  closed by the device",
        "",
        "session 1, tcp, device 198.51.100.122:62396, server 192.0.2.10:5027, IMEI 356307042441120",
        "  2024-05-14T08:30:34.350Z  356307042441120  device > IMEI 356307042441120",
        "  2024-05-14T08:30:34.353Z  356307042441120  server < IMEI accepted",
        (
            "  2024-05-14T08:30:34.417Z  356307042441120  device > AVL packet, codec 8, 1 record, "
            "2019-06-10T10:04:46.000Z"
        ),
        (
            "! 2024-05-14T08:30:34.417Z  356307042441120  resent: the same packet came at "
            "2024-05-14T08:30:00.139Z, session 0"
        ),
        "  2024-05-14T08:30:34.420Z  356307042441120  server < ACK of 1 record",
        (
            "  2024-05-14T08:30:44.489Z  356307042441120  device > AVL packet, codec 8, 1 record, "
            "2019-06-10T10:05:36.000Z"
        ),
        "  2024-05-14T08:30:44.492Z  356307042441120  server < ACK of 1 record",
        "  2024-05-14T08:30:54.564Z  closed by the device",
        "",
        "sessions: 2; packets: 3; records: 3; no ACK: 1; resent: 1; gaps: 0; other errors: 0",
        "frames: 24; other conversations: 0",
    ]


def test_a_refusal_a_nack_and_a_wrong_crc_are_pointed_out() -> None:
    for name, code, sentence in (
        ("unknown-imei-rejected", 0, "356307042441112  rejected: the server turns the device away"),
        ("codec14-nack-corrected", 0, "nACK: the command was for another device"),
        ("wrong-crc", 1, "device > error crc_mismatch: CRC mismatch at byte 79"),
    ):
        result = run_teltonika("decode", "pcap", str(PCAPS / f"{name}.pcap"))
        assert result.returncode == code
        (line,) = [line for line in result.stdout.splitlines() if line.startswith("!")]
        assert sentence in line


def test_a_gap_is_an_error_in_json_too(tmp_path: Path) -> None:
    file = tmp_path / "gap.pcap"
    file.write_bytes(pcap(map(ethernet, [tcp(HELLO, seq=1), tcp(b"\xff" * 3, seq=20)])))
    result = run_teltonika("decode", "pcap", "--json", str(file))
    assert result.returncode == 1
    imei, gap = objects(result.stdout)
    assert imei["kind"] == "imei"
    assert (gap["kind"], gap["error"], gap["offset"], gap["length"]) == ("error", "gap", 17, 5)


def test_only_the_devices_that_are_named_are_shown(tmp_path: Path) -> None:
    both = tmp_path / "both.pcap"
    first, second = ((PCAPS / f"{name}.pcap").read_bytes() for name in ("codec8e", "wrong-crc"))
    both.write_bytes(first + second[24:])
    wanted = json.loads((PCAPS / "codec8e.json").read_text())[0]["imei"]
    result = run_teltonika("decode", "pcap", "--json", "--imei", wanted, str(both))
    assert result.returncode == 0  # what went wrong did so for another device
    assert objects(result.stdout) == json.loads((PCAPS / "codec8e.json").read_text())
    assert run_teltonika("decode", "pcap", str(both)).returncode == 1


def test_a_port_that_is_named_is_the_server_s(tmp_path: Path) -> None:
    file = tmp_path / "other.pcap"
    file.write_bytes(pcap([ethernet(tcp(b"hello", seq=1))]))
    assert run_teltonika("decode", "pcap", "--json", str(file)).stdout == ""
    result = run_teltonika("decode", "pcap", "--json", "--port", "5027", str(file))
    assert result.returncode == 1
    assert [found["error"] for found in objects(result.stdout)] == ["gap"]
    assert run_teltonika("decode", "pcap", "--json", "--port", "80", str(file)).stdout == ""


def test_exported_hex_is_read_by_decode(tmp_path: Path) -> None:
    one, several = tmp_path / "all.hex", tmp_path / "several"
    several.mkdir()
    commands = str(PCAPS / "commands-codec12.pcap")
    assert run_teltonika("decode", "pcap", "--export-hex", str(one), commands).returncode == 0
    read = run_teltonika("decode", "--json", "--file", str(one))
    assert read.returncode == 0
    kinds = [found["kind"] for found in objects(read.stdout)]
    assert kinds == ["imei", "avl", "command", "response", "avl", "command", "response"]
    assert len(one.read_text().splitlines()) == len(kinds)

    stale = several / "session-0-356307042441120.hex"
    stale.write_text("stale")
    assert (
        run_teltonika("decode", "pcap", "--export-hex", str(several), str(RESEND)).returncode == 0
    )
    files = sorted(several.iterdir())
    assert [file.name for file in files] == [stale.name, "session-1-356307042441120.hex"]
    assert [len(file.read_text().splitlines()) for file in files] == [2, 3]


def test_names_of_io_elements_stand_in_the_json() -> None:
    result = run_teltonika("decode", "pcap", "--json", "--names", str(PCAPS / "codec8e.pcap"))
    names = [each["name"] for each in objects(result.stdout)[2]["records"][0]["io"]]
    assert all(names)


def test_control_characters_in_a_text_do_not_reach_the_terminal(tmp_path: Path) -> None:
    file = tmp_path / "escape.pcap"
    evil = CommandMessage(0x0C, MessageType.RESPONSE, b"\x1b[2Jgone")
    file.write_bytes(session(encode_message(evil)))
    result = run_teltonika("decode", "pcap", str(file))
    assert "\x1b" not in result.stdout
    assert r"response, codec 12: \x1b[2Jgone" in result.stdout


def test_what_is_no_capture_is_told_in_a_sentence(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a capture, but long enough for a header")
    empty = tmp_path / "empty"
    empty.touch()
    for file, sentence in (
        (text, "expected pcap or pcapng, found a file that begins with 6E 6F 74 20"),
        (empty, "the file is empty"),
    ):
        result = run_teltonika("decode", "pcap", str(file))
        assert (result.returncode, result.stdout) == (1, "")
        assert sentence in result.stderr
        assert len(result.stderr.splitlines()) == 1


def test_a_capture_that_breaks_off_is_read_up_to_there(tmp_path: Path) -> None:
    file = tmp_path / "cut.pcap"
    file.write_bytes((PCAPS / "codec8e.pcap").read_bytes()[:-5])
    result = run_teltonika("decode", "pcap", "--json", str(file))
    assert objects(result.stdout) == json.loads((PCAPS / "codec8e.json").read_text())
    assert result.returncode == 0
    assert "breaks off at byte" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["missing.pcap"], "cannot read missing.pcap: No such file"),
        (["--imei", "12", str(RESEND)], "--imei: an IMEI is 15 digits"),
        (["--export-hex", "missing/x.hex", str(RESEND)], "cannot write missing/x.hex"),
        ([], "Missing argument"),
    ],
)
def test_a_mistake_of_the_user_s_is_told_in_a_sentence(arguments: list[str], sentence: str) -> None:
    result = run_teltonika("decode", "pcap", *arguments)
    assert (result.returncode, result.stdout) == (2, "")
    assert sentence in result.stderr
    assert "Traceback" not in result.stderr


def test_decoding_hex_does_not_wait_for_what_captures_need() -> None:
    program = (
        "import sys, teltonika.cli.decode; print({'teltonika.codecs.captures', "
        "'teltonika.cli.decode_pcap', 'teltonika.cli.decode_log', 'rich.progress'} "
        "& sys.modules.keys())"
    )
    result = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"
    assert "pcap" in run_teltonika("decode", "--help").stdout


def test_a_large_capture_takes_no_more_memory_than_a_small_one() -> None:
    small = peak_kib("decode", "pcap", "-", pieces=[(PCAPS / "codec8e.pcap").read_bytes()])
    large = peak_kib("decode", "pcap", "-", pieces=capture(WORKLOADS[1], 60_000_000, 500))
    assert large < small + 40 * 1024
