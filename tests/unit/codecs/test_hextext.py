"""Hex as people paste it. The dumps below are the real tools' output, unless a test says so."""

import subprocess

import pytest
from captures import PCAPS, load_capture
from tshark import TSHARK, followed

from teltonika.codecs import hextext
from teltonika.codecs.hextext import HexTextError, parse_hex_text

SAMPLE = bytes.fromhex("000f333536333037303432343431303133")

XXD = """\
00000000: 000f 3335 3633 3037 3034 3234 3431 3031  ..35630704244101
00000010: 33                                       3
"""
XXD_BYTES = """\
00000000: 00 0f 33 35 36 33 30 37  ..356307
00000008: 30 34 32 34 34 31 30 31  04244101
00000010: 33                       3
"""
XXD_UNGROUPED = """\
00000000: 000f3335363330373034323434313031  ..35630704244101
00000010: 33                                3
"""
HEXDUMP = """\
00000000  00 0f 33 35 36 33 30 37  30 34 32 34 34 31 30 31  |..35630704244101|
00000010  33                                                |3|
00000011
"""

WIRESHARK = """\
0000   00 0f 33 35 36 33 30 37 30 34 32 34 34 31 30 31   ..35630704244101
0010   33                                                3
"""
WIRESHARK_BYTES = """\
0000   00 0f 33 35 36 33 30 37 30 34 32 34 34 31 30 31
0010   33
"""
FOLLOWED = """\
00000000  00 0f 33 35 36 33 30 37  30 34 32 34 34 31 30 31  ..356307 04244101
00000010  33                                                3
"""


@pytest.mark.parametrize(
    "text",
    [
        "000f333536333037303432343431303133",
        "000F 3335 3633 3037 3034 3234 3431 3031 33\n",
        "0x000f333536333037303432343431303133",
        ", ".join(f"0x{byte:02x}" for byte in SAMPLE),
        "00:0f:33:35:36:33:30:37:30:34:32:34:34:31:30:31:33",
        r"'\x00\x0f\x33\x35\x36\x33\x30\x37\x30\x34\x32\x34\x34\x31\x30\x31\x33'",
        "\r\n000f3335\r\n\r\n3633303730343234\t34313031 33\r\n",
        XXD,
        XXD_BYTES,
        XXD_UNGROUPED,
        HEXDUMP,
        HEXDUMP.replace("\n", "\r\n"),
        HEXDUMP.rsplit("\n", 2)[0],
        WIRESHARK,
        WIRESHARK_BYTES,
        FOLLOWED,
    ],
)
def test_every_way_to_write_it_gives_the_same_bytes(text: str) -> None:
    assert parse_hex_text(text) == SAMPLE


def test_a_dumps_text_column_is_never_read() -> None:
    text_like_hex = b"deadbeef cafe 00"
    xxd = "00000000: 6465 6164 6265 6566 2063 6166 6520 3030  deadbeef cafe 00\n"
    hexdump = (
        "00000000  64 65 61 64 62 65 65 66  20 63 61 66 65 20 30 30  |deadbeef cafe 00|\n00000010\n"
    )
    assert parse_hex_text(xxd) == text_like_hex
    assert parse_hex_text(hexdump) == text_like_hex


def test_a_star_repeats_the_row_before_it_up_to_the_next_offset() -> None:
    row = "00000000  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n"
    last = "00000040  01                                                |.|\n00000041\n"
    assert parse_hex_text(f"{row}*\n{last}") == bytes(64) + b"\x01"
    assert parse_hex_text(f"{row}*\n00000030\n") == bytes(48)


def test_a_dump_may_begin_at_any_offset() -> None:
    text = "00000040: 0102  ..\n00000042: 03    .\n"
    assert parse_hex_text(text) == b"\x01\x02\x03"


@pytest.mark.parametrize(
    ("text", "line", "column", "offset", "message"),
    [
        ("zz", 1, 1, 0, "'z' is no hex digit"),
        ("00 0f\n33 g5", 2, 4, 3, "'g' is no hex digit"),
        ("00 0", 1, 4, 1, r"an odd number of hex digits \(1\)"),
        ("000f3", 1, 5, 0, r"an odd number of hex digits \(5\)"),
        ("00é", 1, 3, 1, "'é' is no hex digit"),
        (XXD + "00000020: 33  3\n", 3, 1, 17, "offset is 0x20 where 0x11 should stand"),
        (XXD + "what is this\n", 3, 1, 17, "no row of the dump"),
        (HEXDUMP.replace("00000011", "00000012"), 3, 1, 17, "0x12 where 0x11"),
        (HEXDUMP.rsplit("\n", 2)[0] + "\n*\n", 3, 1, 17, "ends in a"),
        (HEXDUMP.split("\n", maxsplit=1)[0] + "\n*\nffffffffffff\n", 3, 1, 16, "0xFFFFFFFFFFFF"),
    ],
)
def test_what_is_not_hex_is_named_with_its_place(
    text: str, line: int, column: int, offset: int, message: str
) -> None:
    with pytest.raises(HexTextError, match=message) as caught:
        parse_hex_text(text)
    assert (caught.value.line, caught.value.column) == (line, column)
    assert caught.value.offset == offset
    assert caught.value.code == "bad_hex"


@pytest.mark.parametrize("text", ["", " \n\t\n"])
def test_nothing_is_no_bytes(text: str) -> None:
    assert parse_hex_text(text) == b""


@pytest.mark.parametrize(
    "command",
    [
        ["xxd"],
        ["xxd", "-g1"],
        ["xxd", "-g4", "-c20"],
        ["xxd", "-p"],
        ["xxd", "-u"],
        ["xxd", "-i"],
        ["xxd", "-a"],
        ["hexdump", "-C"],
        ["od", "-An", "-tx1", "-v"],
        ["od", "-Ax", "-tx1", "-v"],
        ["od", "-Ax", "-tx1"],
    ],
)
@pytest.mark.parametrize(
    "data", [b"\x00", bytes(range(256)), bytes(100) + b"|end|  00 11: 22", b" " * 32]
)
def test_what_the_tools_print_is_read_back(command: list[str], data: bytes) -> None:
    try:
        printed = subprocess.run(command, input=data, capture_output=True, check=True).stdout
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is not installed")
    text = printed.decode("ascii")
    if command == ["xxd", "-i"]:
        text = text.strip().rstrip(",")
    assert parse_hex_text(text) == data


def test_a_dump_may_be_indented_and_its_text_cut_off() -> None:
    bare = "    00000010 ff 00\n    00000012 01\n    00000013\n"
    assert parse_hex_text(bare) == b"\xff\x00\x01"
    assert parse_hex_text(" 00000000: ff00 01  ...\n 00000003: 02  .\n") == b"\xff\x00\x01\x02"


@pytest.mark.parametrize(
    "command", [["hexdump"], ["od", "-Ax", "-tx2"], ["od", "-Ax", "-tx4"], ["od", "-Ax", "-tx8"]]
)
def test_words_are_not_taken_for_bytes(command: list[str]) -> None:
    try:
        printed = subprocess.run(command, input=bytes(range(64)), capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip(f"{command[0]} is not installed")
    with pytest.raises(HexTextError, match="a dump of words, whose bytes may be swapped"):
        parse_hex_text(printed.stdout.decode("ascii"))


@pytest.mark.skipif(TSHARK is None, reason="tshark is not installed")
def test_a_stream_that_wireshark_followed_is_read_from_both_ends() -> None:
    (session,) = load_capture("codec8-session").conversations
    rows = followed(PCAPS / "codec8-session.pcap")
    said = sorted((*session.device, *session.server), key=lambda payload: payload.time)
    assert parse_hex_text(rows) == b"".join(payload.data for payload in said)
    gui = rows.replace("\t", "    ")
    assert parse_hex_text(gui) == parse_hex_text(rows)


def test_a_row_that_is_missing_in_a_dump_of_wireshark_is_told() -> None:
    with pytest.raises(HexTextError, match="offset is 0x20 where 0x10 should stand"):
        parse_hex_text(FOLLOWED.replace("00000010", "00000020"))
    with pytest.raises(HexTextError, match="line 3, column 1: this is no row"):
        parse_hex_text(f"{WIRESHARK}0011:  00\n")


@pytest.mark.parametrize("text", ["0000 00 0f", "0000 000f", "0000  000f", "00000000  00 0f"])
def test_hex_with_zeros_in_front_is_no_dump(text: str) -> None:
    assert parse_hex_text(text) == bytes.fromhex(text.replace(" ", ""))


def test_all_the_stars_of_a_dump_share_one_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short text cannot fill the memory."""
    monkeypatch.setattr(hextext, "_MAX_REPEATED", 8)
    first = "00000000: 00\n*\n00000005: 01\n*\n"  # the first star is four bytes
    assert parse_hex_text(f"{first}0000000a: 02\n") == bytes(5) + b"\x01" * 5 + b"\x02"
    with pytest.raises(HexTextError, match="offset is 0xB where 0x6 should stand"):
        parse_hex_text(f"{first}0000000b: 02\n")


def test_hex_whose_second_line_is_no_offset_is_plain() -> None:
    assert parse_hex_text("000000 01\n000002 03") == bytes.fromhex("00000001 00000203")


def test_what_stood_before_the_mistake_is_kept() -> None:
    with pytest.raises(HexTextError) as caught:
        parse_hex_text("00 01\n02 zz")
    assert caught.value.data == b"\x00\x01\x02"
