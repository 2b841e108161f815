"""`python tests/fuzz/run.py`: fuzz the codecs, each target in a process of its own."""

import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path
from typing import Annotated

sys.path.insert(0, str(Path(__file__).parents[1]))

import typer
from fuzz.targets import TARGETS, Target

FAILED, USAGE = 1, 2
WORKER = Path(__file__).with_name("worker.py")
LONGEST_INPUT = 4096
SLOWEST_S = 20
"""An input that takes longer is a failure of its own."""
SHOWN_LINES = 25
_PROGRESS = re.compile(r"#(\d+)\s+(\w+)\s+cov: (\d+) .*?corp: (\d+)/")
_KEPT = re.compile(r"Test unit written to (.+)")


@dataclass
class Outcome:
    """What became of one target, read from libFuzzer's log."""

    executions: int = 0
    coverage: int = 0
    new_coverage: int = 0
    corpus: int = 0
    new_inputs: int = 0
    crash: Path | None = None
    complaint: str = ""
    """The end of the log, if the target did not end well."""

    def __str__(self) -> str:
        return (
            f"{self.executions:>10,} executions   coverage {self.coverage:>4} "
            f"(+{self.new_coverage})   corpus {self.corpus:>4} (+{self.new_inputs})   "
            f"{1 if self.complaint else 0} crashes"
        )


def fuzz(target: Target, seconds: int, seed: int, corpus: Path) -> Outcome:
    """Run one target; what it finds is kept in ``corpus``."""
    found, crashes = corpus / target.name, corpus / "crashes"
    for folder in (found, crashes):
        folder.mkdir(parents=True, exist_ok=True)
    known = {*found.iterdir()}
    with tempfile.TemporaryDirectory() as seeds:
        for data in target.seeds():
            (Path(seeds) / sha1(data, usedforsecurity=False).hexdigest()).write_bytes(data)
        process = subprocess.run(
            [
                *(sys.executable, WORKER, target.name, found, seeds),
                *(f"-max_total_time={seconds}", f"-seed={seed}", f"-max_len={LONGEST_INPUT}"),
                *(f"-timeout={SLOWEST_S}", f"-artifact_prefix={crashes}/{target.name}-"),
            ],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
        )
    outcome = read_log(process.stderr)
    outcome.new_inputs = len({*found.iterdir()} - known)
    if process.returncode:
        kept = _KEPT.search(process.stderr)
        outcome.crash = Path(kept[1]) if kept else None
        outcome.complaint = _complaint(process)
    elif not outcome.coverage:
        outcome.complaint = "no coverage was seen: the codecs were not instrumented"
    return outcome


def read_log(log: str) -> Outcome:
    """The figures of libFuzzer's own lines; INITED stands behind the last seed."""
    outcome = Outcome()
    of_seeds: int | None = None
    for executions, event, coverage, corpus in _PROGRESS.findall(log):
        outcome.executions, outcome.coverage, outcome.corpus = map(
            int, (executions, coverage, corpus)
        )
        if event == "INITED":
            of_seeds = outcome.coverage
    if of_seeds is not None:
        outcome.new_coverage = outcome.coverage - of_seeds
    return outcome


def _complaint(process: "subprocess.CompletedProcess[str]") -> str:
    """The exception with its traceback, or, where there is none, the end of the log."""
    _, _, exception = process.stdout.partition("=== Uncaught Python exception: ===")
    log = exception or process.stderr
    return "\n".join(log.strip().splitlines()[-SHOWN_LINES:])


def main(
    target: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="Only this target; may be given several times."),
    ] = None,
    minutes: Annotated[
        float, typer.Option(help="For all targets together, shared evenly.", min=0.01)
    ] = 2.0,
    seed: Annotated[
        int | None,
        typer.Option(help="Of the fuzzer's choices. Without it another one at each run.", min=1),
    ] = None,
    corpus: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Keep new inputs here, a folder for each target, and start from those of the run "
            "before. Without it they are forgotten, unless something fails.",
        ),
    ] = None,
    input: Annotated[  # noqa: A002 - the option's name
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Give one target, without atheris, this one input, and nothing else: to see a "
            "crash again.",
        ),
    ] = None,
    list_targets: Annotated[
        bool, typer.Option("--list", help="Say what the targets are, and end.")
    ] = False,
) -> None:
    """Fuzz the framer and every decoder, guided by coverage.

    Each target starts from the documented samples and the captures in fixtures/, and checks far
    more than that nothing raises: --list says what is fuzzed, tests/fuzz/ what must hold. Its
    line tells how often it ran, how much of the code it reached (and of that how much the samples
    did not), and how many inputs it knows that each reach something else (and how many of them
    are new).

    The exit code is 1 if an input was found for which a claim does not hold. It is then shown as
    hex, with the file that keeps it, and with the command that runs it again, once, without the
    fuzzer.

    \b
    Minutes for every change, hours by hand:
      python tests/fuzz/run.py --minutes 2
      python tests/fuzz/run.py --target server --target avl-8e --minutes 120 --corpus /tmp/corpus
    """
    if list_targets:
        for known in TARGETS.values():
            typer.echo(f"{known.name:<17} {known.claim}")
        return
    chosen = [_target(name) for name in target or TARGETS]
    if input is not None:
        if len(chosen) != 1:
            _fail("--input needs one --target: whose input it is")
        chosen[0].check(input.read_bytes())
        typer.echo(f"{chosen[0].name}: holds for {input}")
        return
    _need_atheris()
    seed = seed or random.randrange(1, 2**31)
    folder = corpus or Path(tempfile.mkdtemp(prefix="teltonika-fuzz-"))
    typer.echo(f"{len(chosen)} targets, {minutes:g} minutes, seed {seed}")
    end = time.monotonic() + minutes * 60
    start_s = 0.0  # what a process takes before it fuzzes, as the one before it did
    holds = True
    for number, one in enumerate(chosen):
        began = time.monotonic()
        seconds = max(1, round((end - began) / (len(chosen) - number) - start_s))
        holds = _holds(one, seconds, seed, folder) and holds
        start_s = max(0.0, time.monotonic() - began - seconds)
    if not holds:
        raise typer.Exit(FAILED)
    if corpus is None:
        shutil.rmtree(folder)


def _holds(target: Target, seconds: int, seed: int, folder: Path) -> bool:
    """Fuzz ``target`` and print what became of it."""
    outcome = fuzz(target, seconds, seed, folder)
    typer.echo(f"{target.name:<17} {outcome}")
    if outcome.complaint:
        typer.echo(f"\n{outcome.complaint}\n")
    if outcome.crash:
        typer.echo(f"input: {outcome.crash.read_bytes().hex()}")
        typer.echo(f"kept in: {outcome.crash}")
        typer.echo(f"again: python {sys.argv[0]} --target {target.name} --input {outcome.crash}\n")
    return not outcome.complaint


def _target(name: str) -> Target:
    if name not in TARGETS:
        _fail(f"no target is called {name!r}: one of {', '.join(TARGETS)}")
    return TARGETS[name]


def _need_atheris() -> None:
    try:
        import atheris  # noqa: F401
    except ImportError:
        _fail("atheris is not installed: pip install -e '.[test,fuzz]' (CPython on Linux or macOS)")


def _fail(message: str) -> None:
    typer.echo(f"fuzz: {message}", err=True)
    raise typer.Exit(USAGE)


app = typer.Typer(add_completion=False, rich_markup_mode=None)
app.command()(main)

if __name__ == "__main__":
    app()
