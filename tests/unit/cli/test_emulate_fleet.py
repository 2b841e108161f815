"""Who is in a fleet, by option or file, and what is wrong usage."""

from pathlib import Path

import pytest
from typer import Exit

from teltonika.cli.emulate_fleet import fleet_imeis, parse_ramp

IMEI, OTHER = "356307042441013", "356307042441021"


def test_one_device_keeps_its_digits() -> None:
    assert fleet_imeis("356307042441000", 1, None) == ["356307042441000"]


def test_a_device_that_was_not_named_is_that_of_the_documentation() -> None:
    assert fleet_imeis(None, 1, None) == [IMEI]
    assert fleet_imeis(None, 2, None)[:] == [IMEI, OTHER]


def test_a_fleet_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "imeis"
    file.write_text(f"# north\n{IMEI}\n\n  {OTHER}  \n")
    assert fleet_imeis(None, 1, file) == [IMEI, OTHER]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("356307\n", "line 1: an IMEI is 15 digits"),
        (f"{IMEI}\n{OTHER}\n{IMEI}\n", f"line 3: {IMEI} stands in line 1, too"),
        ("# nobody\n", "there is no IMEI in it"),
        (None, "No such file"),
        (b"\xff\xff", "expected text"),
    ],
)
def test_a_wrong_file_is_told_with_its_line(
    content: str | bytes | None, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "imeis"
    if content is not None:
        file.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(Exit) as ended:
        fleet_imeis(None, 1, file)
    assert ended.value.exit_code == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("imei", "count"), [(IMEI, 1), (None, 5), ("", 1)])
def test_who_they_are_must_be_clear(imei: str | None, count: int, tmp_path: Path) -> None:
    file = tmp_path / "imeis"
    file.write_text(IMEI)
    with pytest.raises(Exit) as ended:
        fleet_imeis(imei, count, file)
    assert ended.value.exit_code == 2


@pytest.mark.parametrize(("text", "ramp"), [("50/s", 50.0), ("50", 50.0), ("0.5/s", 0.5)])
def test_a_ramp_is_devices_a_second(text: str, ramp: float) -> None:
    assert parse_ramp(text) == ramp


@pytest.mark.parametrize("text", ["fast", "50/m", "-1", "", "1e9"])
def test_anything_else_is_wrong_usage(text: str) -> None:
    with pytest.raises(Exit) as ended:
        parse_ramp(text)
    assert ended.value.exit_code == 2
