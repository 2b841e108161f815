"""In which line of a TOML text a key stands."""

import re


def line_of(text: str, table: str, key: str) -> int:
    """The line, from 1, of ``key`` in ``table`` (empty: before any), or of the table, or 1."""
    current, found = "", 1
    for number, line in enumerate(text.splitlines(), start=1):
        header = re.match(r"\s*\[+\s*([^\[\]]+?)\s*\]+", line)
        if header is not None and "=" not in line.split("]")[0]:
            current = header[1].strip("\"'")
            if current == table:
                found = number
        elif current == table and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*=""", line):
            return number
    return found
