"""The options of `teltonika emulate --scenario`, right and wrong."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from teltonika.cli.main import app


def emulate(tmp_path: Path, text: str, *options: str) -> tuple[int, str]:
    file = tmp_path / "night.toml"
    file.write_text(text)
    result = CliRunner().invoke(app, ["emulate", "--scenario", str(file), *options])
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("text", "options", "complaint"),
    [
        ("[emulate]\ncuont = 3", (), "emulate, cuont: there is no such option"),
        ("[emulate]\nscenario = 'x'", (), "emulate, scenario: there is no such option"),
        ("[emulate]\ncount = 'x'", (), "'--count'"),
        ("[[steps]]\ndo = 'panic'", (), "step 1: expected either `at`"),
        (
            "[emulate]\nimei = '356307042441013'\n[[steps]]\ndo = 'panic'\nwhen = {answers = 1}",
            (),
            "with a duration",
        ),
        (
            "[[steps]]\ndo = 'panic'\nat = 1",
            ("--imei", "356307042441013", "--processes", "2"),
            "leave --processes out",
        ),
        ("", ("--imei", "356307042441013", "--junit", "/none/out.xml"), "cannot write /none"),
    ],
)
def test_mistakes_get_a_sentence(
    tmp_path: Path, text: str, options: tuple[str, ...], complaint: str
) -> None:
    code, output = emulate(tmp_path, text, *options)
    assert code == 2, output
    assert complaint in output


def test_junit_without_a_scenario_is_refused() -> None:
    result = CliRunner().invoke(app, ["emulate", "--imei", "356307042441013", "--junit", "out.xml"])
    assert result.exit_code == 2
    assert "--junit: it is about" in result.output


def test_options_of_the_file_count_and_those_given_win(tmp_path: Path) -> None:
    text = "[emulate]\nimei = '356307042441013'\nhost = 'a..b'\n"
    assert "'a..b' is no host name" in emulate(tmp_path, text)[1]
    assert "'c..d' is no host name" in emulate(tmp_path, text, "--host", "c..d")[1]
