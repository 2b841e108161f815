"""What goes to standard output for a machine: NDJSON, one object a line."""

import sys

import msgspec


def print_json(value: object) -> None:
    """One object as one line, flushed: a reader at the other end of a pipe sees it at once.

    A surrogate pair's half never gets here: every text of ours comes from checked bytes.
    """
    sys.stdout.write(msgspec.json.encode(value).decode() + "\n")
    sys.stdout.flush()
