"""A text stream that a thread writes: bounded, in order, and nobody's trouble."""

import errno
import io
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from teltonika.server.queued_stream import MAX_LINES, QueuedStream

LONG_S = 60.0


class Gate(io.StringIO):
    """A stream whose writes wait while it is shut, and fail while it is broken."""

    def __init__(self) -> None:
        super().__init__()
        self.opened = threading.Event()
        self.entered = threading.Event()
        self.error: Exception | None = None

    def write(self, text: str) -> int:
        self.entered.set()
        assert self.opened.wait(LONG_S)
        if self.error is not None:
            raise self.error
        return super().write(text)


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.opened.set()


def test_lines_come_in_their_order_from_several_threads() -> None:
    below = io.StringIO()
    stream = QueuedStream(below)

    def write(name: str) -> None:
        for number in range(500):
            stream.write(f"{name} {number}\n")

    threads = [threading.Thread(target=write, args=(name,)) for name in "ab"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert stream.finish(LONG_S)
    lines = below.getvalue().splitlines()
    for name in "ab":
        mine = [line for line in lines if line.startswith(name)]
        assert mine == [f"{name} {number}" for number in range(500)]
    assert stream.lines_dropped == 0


def test_who_writes_does_not_wait_for_a_stream_that_stands_still(gate: Gate) -> None:
    stream = QueuedStream(gate)
    for number in range(2 * MAX_LINES):
        stream.write(f"{number}\n")
        stream.flush()
    assert stream.lines_dropped == MAX_LINES
    assert stream.is_behind
    gate.opened.set()
    assert stream.finish(LONG_S)
    *lines, report = gate.getvalue().splitlines()
    assert lines == [str(number) for number in range(MAX_LINES)]
    assert report == f"teltonika: {MAX_LINES:,} lines are missing here: nobody read them in time"


def test_the_queue_is_bounded_in_bytes_as_well(gate: Gate) -> None:
    stream = QueuedStream(gate, max_bytes=1000)
    for _ in range(20):
        stream.write("x" * 99 + "\n")
    assert stream.lines_dropped == 10
    gate.opened.set()
    assert stream.finish(LONG_S)
    assert gate.getvalue().count("x" * 99) == 10


def test_drops_while_it_stands_still_take_no_memory(gate: Gate) -> None:
    stream = QueuedStream(gate, max_lines=2)
    stream.write("first\n")
    assert gate.entered.wait(LONG_S)
    for _ in range(1000):
        stream.drop(1, "not rendered")
        stream.write("no room\n" * 2)
        stream.flush()
    assert stream._items.qsize() <= 3
    assert stream.lines_dropped == 3000


def test_drops_while_the_report_itself_stands_still_take_no_memory(gate: Gate) -> None:
    stream = QueuedStream(gate)
    stream.drop(1, "not rendered")
    assert gate.entered.wait(LONG_S)
    for _ in range(1000):
        stream.drop(1, "not rendered")
    assert stream._items.qsize() <= 1
    gate.opened.set()
    assert stream.finish(LONG_S)
    assert gate.getvalue().startswith("teltonika: 1,001 lines are missing here: ")


def test_the_end_of_the_process_does_not_wait_for_it_for_ever(gate: Gate) -> None:
    stream = QueuedStream(gate)
    stream.write("blocked\n")
    assert not stream.finish(0.01)
    stream.write("too late\n")
    assert stream.lines_dropped == 1


@pytest.mark.parametrize(
    "error", [BrokenPipeError(errno.EPIPE, "Broken pipe"), ValueError("I/O on closed file")]
)
def test_lines_that_cannot_be_written_are_reported_once_when_they_can(
    gate: Gate, error: Exception
) -> None:
    gate.opened.set()
    gate.error = error
    stream = QueuedStream(gate)
    for _ in range(3):
        stream.write("lost\n")
    stream.drop(1, "not rendered")
    assert stream.finish(LONG_S)
    assert stream.lines_dropped == 4
    gate.error = None
    for _ in range(2):
        stream.write("there\n")
        assert stream.finish(LONG_S)
    first, report, second = gate.getvalue().splitlines()
    assert first == second == "there"
    assert report.startswith("teltonika: 4 lines are missing here: ")


def test_a_line_that_was_cut_is_not_glued_to_the_next_one(tmp_path: Path) -> None:
    """As on a disk that becomes full in the middle of a line, and has room again."""
    with (tmp_path / "log").open("w") as file:
        stream = QueuedStream(file)
        with file_size_limit(10):
            stream.write("0123456789 and more\n")
            assert stream.finish(LONG_S)
        stream.write("next\n")
        assert stream.finish(LONG_S)
    first, second, report = (tmp_path / "log").read_text().splitlines()
    assert (first, second) == ("0123456789", "next")
    assert "1 line is missing here: File too large" in report


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    import resource
    import signal

    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, old)


def test_a_pipe_that_does_not_block_is_waited_for() -> None:
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    told = "".join(f"{number:0100}\n" for number in range(5000))  # more than a pipe holds
    with os.fdopen(writing, "w") as file, os.fdopen(reading) as other:
        stream = QueuedStream(file)
        for line in told.splitlines(keepends=True):
            stream.write(line)
        assert other.read(len(told)) == told
        assert stream.finish(LONG_S)
    assert stream.lines_dropped == 0


def test_what_its_encoding_lacks_is_written_as_a_number() -> None:
    below = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    stream = QueuedStream(below)
    stream.write("°\ud800\n")
    assert stream.finish(LONG_S)
    below.seek(0)
    assert below.read() == "\\xb0\\ud800\n"


def test_only_text_is_written() -> None:
    with pytest.raises(TypeError, match="bytes"):
        QueuedStream(io.StringIO()).write(b"x")  # type: ignore[arg-type]


CRASHING = """
from teltonika.server.queued_stream import queue_standard_error
import os, sys
queue_standard_error()
sys.stderr.write("last words\\n")
if pid := os.fork():
    os.waitpid(pid, 0)
    raise LookupError("a bug")
sys.stderr.write("of a fork\\n")
os._exit(0)
"""


def run(program: str) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-W", "ignore", "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=LONG_S, check=False)


def test_last_words_and_a_traceback_are_written_before_the_end() -> None:
    ended = run(CRASHING)
    assert ended.returncode == 1
    assert {"last words", "of a fork"} < set(ended.stderr.splitlines())
    assert ended.stderr.endswith("LookupError: a bug\n")


def test_what_is_logged_by_a_destructor_is_no_deadlock() -> None:
    """The collector may run anywhere, the middle of a `write` included."""
    ended = run(
        """
from teltonika.server.queued_stream import queue_standard_error
import gc, sys
stream = queue_standard_error()
class Talking:
    def __init__(self): self.me = self
    def __del__(self): sys.stderr.write("gone\\n")
gc.set_threshold(1)
for number in range(3000):
    Talking()
    sys.stderr.write(f"{number}\\n")
gc.collect()
"""
    )
    lines = ended.stderr.splitlines()
    assert lines.count("gone") == 3000
    assert [line for line in lines if line != "gone"] == [str(number) for number in range(3000)]
