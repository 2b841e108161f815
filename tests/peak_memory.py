"""The most memory that a command takes while its input is made."""

import subprocess
import sys
from collections.abc import Iterable

PEAK = """
import resource, sys
from teltonika.cli.main import main
try:
    main()
finally:
    sys.stderr.write(str(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss))
"""


def peak_kib(*arguments: str, pieces: Iterable[bytes]) -> int:
    """The most memory that the command takes while its input is made."""
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
