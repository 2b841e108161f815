"""`teltonika decode` as its users call it."""

import json
import os
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest
from samples import Sample, framed, of_kind, sample
from serving import run_teltonika

from benchmarks.peak_memory import peak_kib
from teltonika.codecs import CommandMessage, MessageType, encode_message

IMEI_HEX = "000f333536333037303432343431303133"
CODEC8 = sample("codec8-1").data.hex()
DEFECTIVE = [*of_kind("error"), *of_kind("error", transport="udp")]


def decoded(output: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


@pytest.mark.parametrize(
    "arguments",
    [
        ["decode", "hexdump", "--json", IMEI_HEX],
        ["decode", "hexdump", IMEI_HEX, "--json"],
        ["decode", IMEI_HEX, "--json"],
        ["decode", "--json", IMEI_HEX],
        ["decode", "--json", *IMEI_HEX.partition("3335")],
    ],
)
def test_hexdump_may_be_left_out(arguments: list[str]) -> None:
    result = run_teltonika(*arguments)
    assert result.returncode == 0, result.stderr
    assert decoded(result.stdout) == [
        {"kind": "imei", "offset": 0, "length": 17, "transport": "tcp", "imei": "356307042441013"}
    ]


def test_hex_comes_from_a_file_or_from_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "dump.txt"
    file.write_text("00000000: 000f 3335 3633 3037 3034 3234 3431 3031  ..35630704244101\n"
                    "00000010: 33                                       3\n")  # fmt: skip
    from_file = run_teltonika("decode", "--json", "--file", str(file))
    piped = run_teltonika("decode", "--json", input=file.read_text())
    bare = run_teltonika("decode", input=IMEI_HEX)
    dash = run_teltonika("decode", "-", input=IMEI_HEX)
    assert from_file.returncode == piped.returncode == bare.returncode == dash.returncode == 0
    assert dash.stdout == bare.stdout
    assert decoded(from_file.stdout) == decoded(piped.stdout)
    assert decoded(piped.stdout)[0]["imei"] == "356307042441013"
    assert "356307042441013" in bare.stdout


def test_a_packet_is_a_dump_for_a_person() -> None:
    result = run_teltonika("decode", CODEC8)
    assert result.returncode == 0
    assert "byte 0, 66 long, from device: AVL packet, codec 8, 1 record, 2019" in result.stdout
    assert "2019-06-10T10:04:46.000Z" in result.stdout
    assert "[F1 0000601A]          IO 241 Active GSM Operator = 24602" in result.stdout
    assert "\x1b" not in result.stdout


def test_a_message_is_a_line_that_a_terminal_does_not_obey() -> None:
    frame = encode_message(CommandMessage(0x0C, MessageType.RESPONSE, b"a\x1b[31m\xff"))
    result = run_teltonika("decode", "--brief", frame.hex())
    assert result.stdout == (
        f"byte 0, {len(frame)} long, from device: response, codec 12: a\\x1b[31m\\xff\n"
    )


def test_what_decoded_before_an_error_is_printed_and_the_exit_code_is_1() -> None:
    result = run_teltonika("decode", "--json", IMEI_HEX + CODEC8[:-2])
    imei, error = decoded(result.stdout)
    assert imei["kind"] == "imei"
    assert (error["kind"], error["error"], error["offset"]) == ("error", "truncated", 17 + 65)
    assert result.returncode == 1
    readable = run_teltonika("decode", IMEI_HEX + CODEC8[:-2])
    assert readable.returncode == 1
    assert "IMEI 356307042441013" in readable.stdout
    assert "the packet ends at byte 82" in readable.stdout


@pytest.mark.parametrize("defective", DEFECTIVE, ids=str)
def test_defective_samples_are_errors(defective: Sample) -> None:
    result = run_teltonika("decode", "hexdump", "--json", defective.data.hex())
    assert result.returncode == 1
    assert [finding["kind"] for finding in decoded(result.stdout)] == ["error"]


def test_text_that_is_not_hex_is_one_sentence_and_one_object() -> None:
    result = run_teltonika("decode", "--json", "00 0f 3Z")
    assert result.returncode == 1
    (error,) = decoded(result.stdout)
    assert (error["kind"], error["error"], error["offset"]) == ("error", "bad_hex", 2)
    assert len(result.stderr.splitlines()) == 1
    assert "line 1, column 7" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["decode", "--file", "/nothing/here"], "cannot read /nothing/here"),
        (["decode", IMEI_HEX, "--file", "x"], "not both"),
        (["decode", " "], "no hex"),
        (["decode", "--nope"], "--nope"),
    ],
)
def test_wrong_usage_is_a_sentence_and_exit_code_2(arguments: list[str], said: str) -> None:
    result = run_teltonika(*arguments)
    assert result.returncode == 2
    assert said in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_bytes_as_they_are_are_recognised(tmp_path: Path) -> None:
    file = tmp_path / "capture.bin"
    file.write_bytes(bytes.fromhex(CODEC8))
    result = run_teltonika("decode", "--file", str(file))
    assert result.returncode == 1
    assert "xxd" in result.stderr
    told = run_teltonika("decode", "--json", "--file", str(file))
    assert [finding["error"] for finding in decoded(told.stdout)] == ["bad_hex"]


def test_what_stands_before_text_that_is_not_hex_is_decoded() -> None:
    result = run_teltonika("decode", "--json", f"{IMEI_HEX} {CODEC8[:20]} zz")
    assert result.returncode == 1
    imei, error = decoded(result.stdout)
    assert imei["imei"] == "356307042441013"
    assert (error["error"], error["offset"]) == ("bad_hex", 27)


def test_names_gives_the_elements_names_and_a_model_asks_for_them_too() -> None:
    plain = run_teltonika("decode", "hexdump", "--json", CODEC8)
    names = run_teltonika("decode", "hexdump", "--json", "--names", CODEC8)
    model = run_teltonika("decode", "hexdump", "--json", "--model", "fmb640", CODEC8)
    assert plain.returncode == names.returncode == model.returncode == 0
    (bare,), (named,), (of_model,) = (decoded(one.stdout) for one in (plain, names, model))
    assert "name" not in bare["records"][0]["io"][0]
    elements = {element["id"]: element for element in named["records"][0]["io"]}
    assert (elements[66]["name"], elements[66]["scaled"], elements[66]["unit"]) == (
        "External Voltage",
        24.079,
        "V",
    )
    elements = {element["id"]: element for element in of_model["records"][0]["io"]}
    assert (elements[66]["scaled"], elements[66]["unit"]) == (24_079, "mV")


def test_an_unknown_model_is_wrong_usage_with_the_nearest_names() -> None:
    result = run_teltonika("decode", "hexdump", "--json", "--model", "FMB921", CODEC8)
    assert result.returncode == 2
    assert result.stdout == ""
    assert result.stderr.startswith("teltonika: --model: the IO dictionary has no model 'FMB921'")
    assert "FMB920" in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize("line_end", [b"\n", b""], ids=["lines", "one line"])
def test_a_long_input_takes_no_more_memory_than_a_short_one(line_end: bytes) -> None:
    """A million records, 45 MB of hex, whatever the lines are."""
    record = sample("codec8-2").data[10:-5]
    hundred = framed(b"\x08\x64" + 100 * record + b"\x64").hex().encode() + line_end
    small = peak_kib("decode", "--json", pieces=[hundred])
    large = peak_kib("decode", "--json", pieces=repeat(hundred, 10_000))
    assert large < small + 20 * 1024


def test_a_long_line_with_a_space_at_a_rows_end_takes_no_longer_than_another() -> None:
    line = 4 * ("0" * ((1 << 18) - 1) + " ") + "0" * 7
    result = run_teltonika("decode", "--json", input=line)
    assert decoded(result.stdout)[-1]["error"] == "bad_hex"


def test_a_dump_that_repeats_a_byte_millions_of_times_is_read_in_seconds() -> None:
    dump = "00000000: 00\n*\n00ffffff: 00\n"
    result = run_teltonika("decode", "--json", input=dump)
    assert decoded(result.stdout)[0]["error"] == "bad_length"


def test_zeros_are_read_in_seconds_by_a_lenient_reading_too() -> None:
    result = run_teltonika("decode", "--json", "--lenient", input="00" * 20_000_000)
    assert decoded(result.stdout)[0]["error"] == "bad_length"


def test_the_environment_says_who_sent_the_bytes() -> None:
    environment = os.environ | {"TELTONIKA_FROM": "server"}
    result = run_teltonika("decode", "--json", "ff", env=environment)
    assert decoded(result.stdout)[0]["error"] == "unrecognised"
    assert decoded(run_teltonika("decode", "--json", "ff").stdout)[0]["kind"] == "ping"
