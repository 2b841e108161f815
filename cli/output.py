"""What goes to standard output: NDJSON for a machine, harmless text for a person."""

import json
import os
import sys

import msgspec


def print_json(value: object) -> None:
    """One object as one line, flushed: a reader at the other end of a pipe sees it at once.

    A surrogate pair's half never gets here: every text of ours comes from checked bytes.
    """
    write_json(msgspec.json.encode(value))
    sys.stdout.flush()


def write_json(encoded: bytes) -> None:
    """One object, encoded already, as one line; when it is flushed is the caller's to say."""
    line = encoded.decode()
    if not (sys.stdout.encoding or "").lower().startswith("utf"):
        line = _ascii(line)
    sys.stdout.write(line + "\n")


def shows_colours() -> bool:
    """Whether standard output is to be coloured: a terminal (or FORCE_COLOR), but for NO_COLOR."""
    if "NO_COLOR" in os.environ:
        return False
    return sys.stdout.isatty() or "FORCE_COLOR" in os.environ


def _ascii(line: str) -> str:
    """JSON in ASCII alone, for an output that holds no more: other characters stand in strings."""
    return "".join(char if char.isascii() else json.dumps(char)[1:-1] for char in line)
