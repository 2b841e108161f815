"""A file that a command reads, or standard input."""

import sys
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import BinaryIO

from teltonika.cli.errors import USAGE, fail


def opened(file: Path) -> AbstractContextManager[BinaryIO]:
    """``file``, or for ``-`` standard input. Ends the command with a sentence if it cannot be."""
    if str(file) == "-":
        return nullcontext(sys.stdin.buffer)
    try:
        return file.open("rb")
    except OSError as error:
        fail(f"cannot read {file}: {error.strerror}", USAGE)
