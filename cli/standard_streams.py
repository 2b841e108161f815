"""Standard streams as a caller may leave them: closed, full, or no longer read.

Output that can't be written ends a command. What it says on standard error ends nothing: that is
written by a thread of its own, and what can't be written is left out.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOWrapper

from teltonika.cli.errors import FAILED
from teltonika.server.queued_stream import QueuedStream, queue_standard_error

_CANNOT_WRITE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO)


@contextmanager
def standard_streams() -> Iterator[None]:
    """Run a command; if its output cannot be written, say so in one line and exit with 1."""
    _open_missing()
    _write_what_they_can()
    queue_standard_error()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except OSError as error:
        if error.errno in _CANNOT_WRITE:
            sys.stderr.write(f"teltonika: cannot write the output: {error.strerror}\n")
        elif error.errno != errno.EPIPE:  # whoever reads has read enough
            raise
        discard_output()
        sys.exit(FAILED)


@contextmanager
def queued_output() -> Iterator[QueuedStream]:
    """Standard output, written by a thread of its own: for a command that goes on without it."""
    original = sys.stdout
    stream = sys.stdout = QueuedStream(original)
    try:
        yield stream
    finally:
        sys.stdout = original
        stream.finish()


def discard_output() -> None:
    """What is still buffered must not fail again while the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _open_missing() -> None:
    """What is opened next must not take the place of a stream that was closed."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # it gets the lowest free number, which is this one
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, "r" if number == 0 else "w", closefd=False))


def _write_what_they_can() -> None:
    """A terminal whose encoding lacks a character gets its number: an ellipsis is no failure."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
