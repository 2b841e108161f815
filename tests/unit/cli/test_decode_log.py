"""`teltonika decode log` as its users call it."""

import json
import os
import subprocess
from pathlib import Path

from serving import TELTONIKA, run_teltonika

from teltonika.codecs import CommandMessage, MessageType, encode_message

HELLO = "000f333536333037303432343431303133"
PACKET = (
    "000000000000002808010000016b40d9ad80010000000000000000000000000000000103021503010101425e1000000"
    "10000f22a"
)
LOG = f"""\
2024-05-14 08:30:00  INFO: [T4c5a33b6] connected
2024-05-14 08:30:00  INFO: [T4c5a33b6: teltonika < 198.51.100.7] {HELLO}
2024-05-14 08:30:00,250  INFO: [T4c5a33b6: teltonika > 198.51.100.7] 01
2024-05-14 08:30:01  INFO: [T4c5a33b6: teltonika < 198.51.100.7] {PACKET}ff
2024-05-14 08:30:01  INFO: [T4c5a33b6: teltonika > 198.51.100.7] 00000001
"""


def test_each_finding_comes_with_its_line_and_its_time(tmp_path: Path) -> None:
    file = tmp_path / "tracker-server.log"
    file.write_text(LOG)
    from_file = run_teltonika("decode", "log", "--json", str(file))
    piped = run_teltonika("decode", "log", "--json", "-", input=LOG)
    assert (from_file.returncode, from_file.stderr) == (0, "")
    assert from_file.stdout == piped.stdout
    found = [json.loads(line) for line in from_file.stdout.splitlines()]
    assert [(each["line"], each["time"], each["kind"], each["offset"]) for each in found] == [
        (2, "2024-05-14 08:30:00", "imei", 0),
        (3, "2024-05-14 08:30:00,250", "ack", 0),
        (4, "2024-05-14 08:30:01", "avl", 0),
        (4, "2024-05-14 08:30:01", "ping", 52),
        (5, "2024-05-14 08:30:01", "ack", 0),
    ]
    assert found[0]["imei"] == "356307042441013"
    assert found[2]["records"][0]["timestamp"] == "2019-06-10T10:05:36.000Z"


def test_a_person_reads_a_line_for_each() -> None:
    result = run_teltonika("decode", "log", "-", input=LOG + f"RAW: {HELLO}\n")
    assert result.stdout.splitlines() == [
        "line 2  2024-05-14 08:30:00  IMEI 356307042441013",
        "line 3  2024-05-14 08:30:00,250  IMEI accepted",
        "line 4  2024-05-14 08:30:01  AVL packet, codec 8, 1 record, 2019-06-10T10:05:36.000Z",
        "line 4  2024-05-14 08:30:01  ping",
        "line 5  2024-05-14 08:30:01  ACK of 1 record",
        "line 6  no time  IMEI 356307042441013",
    ]


def test_what_does_not_decode_makes_the_exit_code_1() -> None:
    result = run_teltonika("decode", "log", "-", input=LOG.replace("f22a", "f22b"))
    assert result.returncode == 1
    assert "line 4  2024-05-14 08:30:01  error crc_mismatch: CRC mismatch" in result.stdout


def test_a_log_that_grows_is_decoded_as_it_does() -> None:
    with subprocess.Popen(
        [TELTONIKA, "decode", "log", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"RAW: {HELLO}\n")
        process.stdin.flush()
        assert process.stdout.readline() == "line 1  no time  IMEI 356307042441013\n"


def test_a_line_that_is_far_too_long_is_left_out() -> None:
    endless = "ab " * 5_000_000
    result = run_teltonika("decode", "log", "-", input=f"{endless}\nRAW: {HELLO}\n")
    assert result.stdout == "line 2  no time  IMEI 356307042441013\n"
    assert result.stderr == ("teltonika: line 1 is left out: it has more than 1,048,576 bytes\n")


def test_a_file_that_is_not_there_or_has_nothing(tmp_path: Path) -> None:
    missing = run_teltonika("decode", "log", "missing.log")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert missing.stderr == "teltonika: cannot read missing.log: No such file or directory\n"
    nothing = run_teltonika("decode", "log", "-", input="started\nstopped\n")
    assert (nothing.returncode, nothing.stdout) == (0, "")
    assert nothing.stderr == "teltonika: -: no Teltonika hex in 2 lines\n"


def test_json_is_json_where_the_output_holds_ascii_alone(tmp_path: Path) -> None:
    file = tmp_path / "server.log"
    frame = encode_message(CommandMessage(0x0C, MessageType.RESPONSE, "tür".encode()))
    file.write_text(f"received {frame.hex()}\n")
    environment = os.environ | {"PYTHONIOENCODING": "ascii"}
    result = run_teltonika("decode", "log", "--json", str(file), env=environment)
    assert json.loads(result.stdout)["text"] == "tür"
    assert result.stdout.isascii()
