"""The most memory that a command takes while its input is made."""

import subprocess
import sys
from collections.abc import Iterable

PEAK = """
import re, sys
from pathlib import Path
from teltonika.cli.main import main
try:
    main()
finally:
    status = Path("/proc/self/status").read_text()
    sys.stderr.write(re.search(r"VmHWM:\\s+(\\d+) kB", status)[1])
"""
"""The kernel's other figure, `ru_maxrss`, begins with what the parent had."""


def peak_kib(*arguments: str, pieces: Iterable[bytes]) -> int:
    """Its resident set at its greatest; ``pieces`` are written to its standard input."""
    with subprocess.Popen(
        [sys.executable, "-c", PEAK, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        for piece in pieces:
            process.stdin.write(piece)
        process.stdin.close()
        kib = int(process.stderr.read())
        assert process.wait(timeout=60) == 0
        return kib
