"""`python killed_at.py STEP NUMBER serve …`: the server, killed at the NUMBERth time of a STEP.

The one use of `teltonika.server.steps.on_step`.
"""

import os
import signal
import sys

from teltonika.cli.main import main
from teltonika.server import steps


def kill_at(step: str, number: int) -> None:
    """SIGKILL for this process at that moment of a command's life."""
    left = number

    def on_step(name: str) -> None:
        nonlocal left
        left -= name == step
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)

    steps.on_step = on_step


if __name__ == "__main__":
    kill_at(sys.argv[1], int(sys.argv[2]))
    del sys.argv[1:3]
    main()
