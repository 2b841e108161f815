"""Which entries of an outbound stream are commands, and what is said of those that are not."""

import contextlib
import re
import time

import msgspec
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from teltonika.codecs import CommandMessage, MessageType
from teltonika.server.command import (
    MAX_TEXT_LENGTH,
    MAX_TIMEOUT_S,
    Command,
    CommandEntry,
    CommandRef,
    Entry,
    InvalidCommandError,
    read_command,
    read_ref,
)

IMEI = "356307042441013"
ENTRY = Entry("commands:outbound:here", "1-0")
REQUIRED = {"command_id": "c1", "imei": IMEI, "payload": "getinfo"}


def encoded(fields: dict[str, str]) -> dict[bytes, bytes]:
    return {name.encode(): value.encode() for name, value in fields.items()}


def read(**fields: str) -> Command:
    """The command in an entry that has what is required, and ``fields``."""
    entry = encoded(REQUIRED | fields)
    return read_command(read_ref(ENTRY, entry), entry, default_timeout_s=30.0)


def test_a_command_needs_an_id_an_imei_and_a_payload() -> None:
    ref = CommandRef(ENTRY, "c1", IMEI, "12")
    assert read() == Command(ref, "getinfo", 30.0, expires_ms=None)


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("left_out", [True, False])
def test_what_is_required_is_neither_missing_nor_empty(name: str, left_out: bool) -> None:
    entry = encoded(REQUIRED | {name: ""})
    if left_out:
        del entry[name.encode()]
    with pytest.raises(InvalidCommandError, match=f"^{name}: missing$"):
        read_command(read_ref(ENTRY, entry), entry, 30.0)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("command_id", "c" * 257, "longer than 256 characters"),
        ("imei", "35630704244101", "15 digits"),
        ("imei", "3563070424410130", "15 digits"),
        ("imei", "35630704244101x", "15 digits"),
        ("imei", "٣٥٦٣٠٧٠٤٢٤٤١٠١٣", "15 digits"),
        ("codec", "13", "'13'"),
        ("codec", "8E", "'8E'"),
        ("payload", "x" * 161, "161 characters; a device takes 160 at most"),
        ("payload", "setparam 2001:café", "ASCII"),
        ("expires_at", "tomorrow", "found 'tomorrow'"),
        ("expires_at", "2026-02-30T00:00:00Z", "found '2026-02-30T00:00:00Z'"),
        ("expires_at", "-1", "found '-1'"),
        ("expires_at", "١٧٦٩٨٤٦٤٠٠١٢٣", "found"),
        ("expires_at", "1" * 16, "found '1111111111111111'"),
        ("expires_at", "x" * 41, f"found '{'x' * 40}'$"),
        ("timeout_s", "soon", "found 'soon'"),
        ("timeout_s", "0", "more than 0"),
        ("timeout_s", "-5", "more than 0"),
        ("timeout_s", "86401", "at most 86400"),
        ("timeout_s", "nan", "found 'nan'"),
        ("timeout_s", "1_0", "found '1_0'"),
        ("timeout_s", "1e1", "found '1e1'"),
        ("timeout_s", "+10", "found '[+]10'"),
        ("timeout_s", "10 ", "found '10 '"),
        ("timeout_s", "10\n", "found"),
        ("timeout_s", "\u0661\u0660", "found"),
        ("timeout_s", "inf", "found 'inf'"),
        ("timeout_s", "x" * 41, f"found '{'x' * 40}'$"),
    ],
)
def test_a_field_that_is_wrong_is_named(field: str, value: str, said: str) -> None:
    with pytest.raises(InvalidCommandError, match=f"^{field}: .*{said}"):
        read(**{field: value})


@pytest.mark.parametrize(
    "name", ["command_id", "imei", "payload", "codec", "expires_at", "timeout_s"]
)
def test_a_field_that_is_not_utf_8_is_named(name: str) -> None:
    entry = encoded(REQUIRED) | {name.encode(): b"1\xff"}
    with pytest.raises(InvalidCommandError, match=f"^{name}: not UTF-8$"):
        read_command(read_ref(ENTRY, entry), entry, 30.0)


@given(
    st.sampled_from(["command_id", "imei", "payload", "codec", "expires_at", "timeout_s"]),
    st.binary(max_size=40)
    | st.text(alphabet="0123456789-:.TWZ+e_ ", max_size=30).map(str.encode)
    | st.datetimes().map(lambda moment: moment.isoformat().encode()),
)
def test_whatever_a_field_holds_it_is_taken_or_named(name: str, value: bytes) -> None:
    entry = encoded(REQUIRED) | {name.encode(): value}
    with contextlib.suppress(InvalidCommandError):
        command = read_command(read_ref(ENTRY, entry), entry, 30.0)
        assert command.message.content == command.text.encode()


def test_limits_themselves_are_taken() -> None:
    assert read(command_id="c" * 256).ref.command_id == "c" * 256
    assert read(payload="x" * 160).text == "x" * 160
    assert read(timeout_s="86400").timeout_s == 86_400.0


@pytest.mark.parametrize(
    ("text", "expires_ms"),
    [
        ("0", 0),
        ("1769846400123", 1_769_846_400_123),
        ("2026-01-31T08:00:00Z", 1_769_846_400_000),
        ("2026-01-31T08:00:00", 1_769_846_400_000),
        ("2026-01-31 08:00:00.1239Z", 1_769_846_400_123),
        ("2026-01-31T09:00:00.000+01:00", 1_769_846_400_000),
        ("1969-12-31T23:59:59.9995Z", -1),
        ("9999-12-31T23:59:59-23:59", 253_402_387_139_000),
        ("0001-01-01T00:00:00+23:59", -62_135_683_140_000),
    ],
)
def test_expires_at_is_iso_8601_or_epoch_milliseconds(text: str, expires_ms: int) -> None:
    assert read(expires_at=text).expires_ms == expires_ms


def test_a_time_without_a_zone_is_utc_wherever_the_server_stands(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        assert read(expires_at="2026-01-31T08:00:00").expires_ms == 1_769_846_400_000
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize("name", ["codec", "expires_at", "timeout_s"])
def test_an_optional_field_that_is_empty_has_its_default(name: str) -> None:
    assert read(**{name: ""}) == read()


def test_other_fields_are_left_alone() -> None:
    assert read(requested_by="somebody") == read()


def test_a_codec_14_command_names_its_device_and_a_codec_12_one_does_not() -> None:
    assert read().message == CommandMessage(0x0C, MessageType.COMMAND, b"getinfo", None)
    assert read(codec="14").message == CommandMessage(0x0E, MessageType.COMMAND, b"getinfo", IMEI)


def test_of_an_entry_that_is_no_command_its_ref_says_what_there_is() -> None:
    assert read_ref(ENTRY, {}) == CommandRef(ENTRY, "", "", "12")
    fields = {b"command_id": b"c\xff", b"imei": b"?" * 300, b"codec": b"99"}
    assert read_ref(ENTRY, fields) == CommandRef(ENTRY, r"c\xff", "?" * 256, "99")


def test_a_command_is_remembered_by_its_id_or_by_its_place() -> None:
    assert read_ref(ENTRY, {b"command_id": b"c1"}).key == "c1"
    assert read_ref(ENTRY, {}).key == "@commands:outbound:here/1-0"


PATTERNS = {
    name: field["pattern"]
    for name, field in msgspec.json.schema(CommandEntry)["$defs"]["CommandEntry"][
        "properties"
    ].items()
    if "pattern" in field
}


@pytest.mark.parametrize("name", PATTERNS)
@given(data=st.data())
def test_what_a_published_pattern_allows_is_what_is_taken(name: str, data: st.DataObject) -> None:
    # in a schema $ is the end, and nothing before it
    pattern = PATTERNS[name].removesuffix("$") + r"\Z"
    nearly = st.text("0123456789_.eE+-\u0661\u0662 \n", max_size=16)
    text = data.draw(st.one_of(st.from_regex(pattern), nearly, st.text(max_size=16)), "text")
    within = name != "timeout_s" or not text or not re.match(pattern, text)
    assume(within or 0 < float(text) <= MAX_TIMEOUT_S)
    assume(name != "payload" or 0 < len(text) <= MAX_TEXT_LENGTH)
    try:
        read(**{name: text})
    except InvalidCommandError:
        assert not re.match(pattern, text)
    else:
        assert re.match(pattern, text)
