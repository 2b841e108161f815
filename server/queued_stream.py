"""Standard error, or any text stream, written by a thread of its own: nobody waits for it.

What can happen: the process that reads the stream dies (EPIPE), its disk is full (ENOSPC), nobody
reads it and the pipe is full (a write blocks), it is closed. Therefore nothing that writes a line
does so itself: lines go into a queue that is bounded in lines and bytes, and one thread writes
them, in their order. A line that does not fit in the queue, or that can't be written, is dropped
and counted; once writing works again and the queue is empty, one line reports how many.

What is not handled: lines that are in the queue when the process is killed are lost, and a line
that was being written when the disk became full may be cut. The next line starts on its own.
"""

import atexit
import io
import os
import select
import sys
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import TextIO

MAX_LINES = 10_000
MAX_BYTES = 4_194_304
FLUSH_S = 0.1
"""What `flush` waits at most; if nothing moves, only the first one does."""
END_S = 2.0
"""At the end of the process, for what is still in the queue."""

_QUEUE_FULL = "nobody read them in time"


def _missing(lines: int, reason: str) -> str:
    count = "1 line is" if lines == 1 else f"{lines:,} lines are"
    return f"teltonika: {count} missing here: {reason}"


class QueuedStream(io.TextIOBase):
    """A text stream whose `write` neither waits nor fails, whatever the one below it does."""

    def __init__(
        self, stream: TextIO, *, max_lines: int = MAX_LINES, max_bytes: int = MAX_BYTES
    ) -> None:
        """``stream`` is written by file descriptor if it has one: its own buffer stays empty."""
        self.stream = stream
        self.report: Callable[[int, str], str] = _missing
        """Gives the line, without its end, for so many dropped lines and the last reason."""
        self.lines_dropped = 0
        """All that could not be queued or written so far."""
        self.drop_reason = ""
        """Why the last one was dropped."""
        self._encoding = getattr(stream, "encoding", None) or "utf-8"
        self._max_lines = max_lines
        self._max_bytes = max_bytes
        self._fd = _descriptor_of(stream)
        # An object's destructor may log in the middle of any of this, in the same thread: the
        # queue and the lock can be entered again.
        self._items: SimpleQueue[bytes | threading.Event | None] = SimpleQueue()
        self._lock = threading.RLock()
        self._lines_put = self._bytes_put = 0  # those who write count here, under the lock
        self._lines_done = self._bytes_done = 0  # and the thread here
        self._reported = 0
        self._thread: threading.Thread | None = None
        self._report_is_wanted = False
        self._is_stuck = False
        self._is_abandoned = False
        self._line_is_cut = False

    # -- what a text stream has ----------------------------------------------------------------

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a stub that says more than the class
        return self._encoding

    @property
    def errors(self) -> str:  # type: ignore[override]
        return "backslashreplace"

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self.stream.isatty()

    def fileno(self) -> int:
        return self.stream.fileno()

    def write(self, text: str, /) -> int:
        """Queue it, as a whole, or drop it."""
        if not isinstance(text, str):
            raise TypeError(f"expected text, found {type(text).__name__}")
        if text:
            self._put(text.encode(self._encoding, self.errors))
        return len(text)

    def flush(self) -> None:
        """Wait a moment until all is written, so that a person reads things in their order."""
        if self._is_stuck or self._bytes_put == self._bytes_done:
            return
        reached = threading.Event()
        self._items.put(reached)
        if not reached.wait(FLUSH_S):
            self._is_stuck = True

    # -- what this one has more ----------------------------------------------------------------

    @property
    def is_behind(self) -> bool:
        """Whether lines wait to be written."""
        return self._bytes_put != self._bytes_done

    def drop(self, lines: int, reason: str) -> None:
        """Count lines that never came here."""
        with self._lock:
            self._count_dropped(lines, reason)
            # if lines wait, the thread comes to report these after them
            if not self.is_behind and not self._report_is_wanted:
                self._report_is_wanted = True
                self._put(b"")

    def finish(self, limit_s: float = END_S) -> bool:
        """Write what is in the queue, for so long at most, and end the thread; whether it did."""
        thread = self._thread
        if thread is not None:
            self._items.put(None)
            thread.join(limit_s)
            self._is_abandoned = thread.is_alive()
            self._thread = None
        return not self.is_behind

    def _put(self, data: bytes) -> None:
        lines = _lines_in(data)
        with self._lock:
            if (
                self._lines_put - self._lines_done + lines > self._max_lines
                or self._bytes_put - self._bytes_done + len(data) > self._max_bytes
                or self._is_abandoned
            ):
                self._count_dropped(lines, _QUEUE_FULL)
                return
            self._lines_put += lines
            self._bytes_put += len(data)
            self._items.put(data)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)
                try:
                    self._thread.start()
                except RuntimeError:  # no thread can be had now: the next line tries again
                    self._thread = None

    def _count_dropped(self, lines: int, reason: str) -> None:
        with self._lock:
            self.lines_dropped += lines
            self.drop_reason = reason

    # -- the thread ----------------------------------------------------------------------------

    def _run(self) -> None:
        while (item := self._items.get()) is not None:
            if isinstance(item, threading.Event):
                item.set()
                continue
            if not item:
                self._report_is_wanted = False
            works = self._write(item)
            self._lines_done += _lines_in(item)
            self._bytes_done += len(item)
            if self._bytes_put == self._bytes_done:
                self._is_stuck = False
                if works and self.lines_dropped != self._reported:
                    self._report_dropped()

    def _report_dropped(self) -> None:
        dropped = self.lines_dropped
        try:
            line = self.report(dropped - self._reported, self.drop_reason) + "\n"
        except Exception as error:
            line = f"{_missing(dropped - self._reported, str(error))}\n"
        if self._write(line.encode(self._encoding, self.errors), counts=False):
            self._reported = dropped

    def _write(self, data: bytes, *, counts: bool = True) -> bool:
        """Whether it could be written."""
        try:
            if self._fd is None:
                self.stream.write(data.decode(self._encoding))
                self.stream.flush()
            else:
                self._write_to(self._fd, b"\n" + data if self._line_is_cut else data)
        except Exception as error:  # whatever it is, it ends nothing
            if counts:
                self._count_dropped(_lines_in(data), _reason(error))
            return False
        return True

    def _write_to(self, descriptor: int, data: bytes) -> None:
        rest = memoryview(data)
        while rest:
            try:
                written = os.write(descriptor, rest)
            except BlockingIOError:  # somebody who has the same file open made it so
                select.select((), (descriptor,), ())
                continue
            rest = rest[written:]
            self._line_is_cut = len(rest) > 0


def queue_standard_error() -> QueuedStream:
    """Have the process's standard error written so from now on, until its very end."""
    if isinstance(sys.stderr, QueuedStream):
        return sys.stderr
    original = sys.stderr
    stream = sys.stderr = QueuedStream(original)

    def give_back() -> None:
        if sys.stderr is stream:
            sys.stderr = original

    def end() -> None:
        if stream.finish():
            give_back()  # for what the interpreter itself says while it ends

    atexit.register(end)
    os.register_at_fork(after_in_child=give_back)  # a fork has no thread
    return stream


def _lines_in(data: bytes) -> int:
    return data.count(b"\n") or len(data[:1])


def _reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {error}"


def _descriptor_of(stream: TextIO) -> int | None:
    try:
        return stream.fileno()
    except (OSError, AttributeError):  # io.UnsupportedOperation is an OSError
        return None
