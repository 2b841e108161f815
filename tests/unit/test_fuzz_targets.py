"""What the fuzz targets claim holds for everything they start from; and their command."""

import subprocess
import sys
from pathlib import Path
from types import ModuleType

import fuzz.run
import pytest
from fuzz.plain_reading import AVL_LAYOUTS, COMMAND_TYPES
from fuzz.run import Outcome, app, read_log
from fuzz.targets import TARGETS, Target
from samples import PACKET
from typer.testing import CliRunner, Result

from teltonika.codecs import CODECS


def run(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_every_claim_holds_for_what_its_target_starts_from(target: Target) -> None:
    seeds = list(target.seeds())
    assert len(set(seeds)) >= 3
    for data in seeds:
        target.check(data)


@pytest.mark.parametrize("target", TARGETS.values(), ids=list(TARGETS))
def test_every_claim_holds_for_a_few_simple_inputs(target: Target) -> None:
    """And for what a fuzzer tries first: nothing, one byte, a start that is cut or spoilt."""
    for data in target.seeds():
        for spoilt in (data[: len(data) // 2], data[:-1], data[:-1] + bytes((data[-1] ^ 1,))):
            target.check(spoilt)
    target.check(b"")
    for byte in range(256):
        target.check(bytes((byte,)))


def test_the_plain_reading_knows_every_codec() -> None:
    assert {codec.codec_id for codec in CODECS} == {*AVL_LAYOUTS, *COMMAND_TYPES}


def test_each_target_is_listed_with_what_it_is() -> None:
    result = subprocess.run(
        [sys.executable, fuzz.run.__file__, "--list"],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (result.returncode, result.stderr) == (0, "")
    assert [line.split()[0] for line in result.stdout.splitlines()] == list(TARGETS)


def test_one_input_is_run_again_without_the_fuzzer(tmp_path: Path) -> None:
    file = tmp_path / "input"
    file.write_bytes(PACKET)
    result = run("--target", "packet", "--input", str(file))
    assert (result.exit_code, result.stdout) == (0, f"packet: holds for {file}\n")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--target", "nonsense"), "no target is called 'nonsense': one of server, "),
        (("--input", __file__), "--input needs one --target"),
        (("--minutes", "0"), "--minutes"),
        (("--minutes", "soon"), "--minutes"),
        (("--seed", "0"), "--seed"),
        (("--target", "packet", "--input", "/nonexistent"), "--input"),
    ],
)
def test_wrong_usage_is_told_in_a_sentence(arguments: tuple[str, ...], sentence: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert sentence in result.stderr


def test_an_input_that_fails_is_shown_and_kept(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", ModuleType("atheris"))
    worker = tmp_path / "worker.py"
    worker.write_text(WORKER_THAT_FAILS)
    monkeypatch.setattr(fuzz.run, "WORKER", worker)
    corpus = tmp_path / "corpus"
    result = run("--target", "packet", "--minutes", "0.01", "--corpus", str(corpus))
    kept = corpus / "crashes" / "packet-crash-1"
    assert result.exit_code == 1
    assert "1 crashes" in result.stdout
    assert "ValueError: found\n" in result.stdout
    assert f"input: 0bad\nkept in: {kept}\n" in result.stdout
    assert kept.read_bytes() == b"\x0b\xad"


def test_a_run_that_sees_no_coverage_is_no_success(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(sys.modules, "atheris", ModuleType("atheris"))
    worker = tmp_path / "worker.py"
    worker.write_text("")
    monkeypatch.setattr(fuzz.run, "WORKER", worker)
    corpus = tmp_path / "corpus"
    result = run("--target", "packet", "--minutes", "0.01", "--corpus", str(corpus))
    assert result.exit_code == 1
    assert "the codecs were not instrumented" in result.stdout


WORKER_THAT_FAILS = """
import sys
(prefix,) = (a.partition("=")[2] for a in sys.argv if a.startswith("-artifact_prefix="))
open(prefix + "crash-1", "wb").write(bytes((0x0B, 0xAD)))
print(" === Uncaught Python exception: ===\\nValueError: found")
print("artifact_prefix=; Test unit written to " + prefix + "crash-1", file=sys.stderr)
sys.exit(77)
"""


def test_without_atheris_the_command_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "atheris", None)
    result = run("--minutes", "0.01")
    assert result.exit_code == 2
    assert result.stderr.startswith("fuzz: atheris is not installed: pip install -e '.[test,fuzz]'")


def test_the_fuzzers_log_is_read() -> None:
    log = (
        "INFO: seed corpus: files: 38 min: 3b max: 254b total: 3270b rss: 44Mb\n"
        "#32\tpulse  cov: 99 ft: 280 corp: 20/1129b exec/s: 0 rss: 46Mb\n"
        "#39\tINITED cov: 105 ft: 301 corp: 25/2129b exec/s: 0 rss: 46Mb\n"
        "#41\tNEW    cov: 106 ft: 302 corp: 26/2200b lim: 254 exec/s: 0 rss: 46Mb L: 71/254\n"
        "#9001\tDONE   cov: 119 ft: 333 corp: 40/2300b lim: 325 exec/s: 3000 rss: 46Mb\n"
    )
    assert read_log(log) == Outcome(executions=9001, coverage=119, new_coverage=14, corpus=40)
