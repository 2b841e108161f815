"""`python jumping_clock.py FILE serve …`: the server, with a wall clock that jumps.

FILE has the seconds that are added to it, always as they are now. The monotonic clock runs on, as
it does when a real one is set.
"""

import mmap
import sys
import time
from pathlib import Path

SIZE = 8


def set_clock(path: Path, offset_s: int) -> None:
    """From now on the server's clock is wrong by that."""
    path.touch()
    with path.open("r+b") as file:
        file.write(offset_s.to_bytes(SIZE, "little", signed=True))


def follow(path: Path) -> None:
    """Let this process' wall clock be wrong by what the file says."""
    with path.open("rb") as file:
        offset = mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ)
    right_ns = time.time_ns

    def time_ns() -> int:
        return right_ns() + 1_000_000_000 * int.from_bytes(offset[:], "little", signed=True)

    time.time_ns = time_ns
    time.time = lambda: time_ns() / 1e9


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
    del sys.argv[1]

    from teltonika.cli.main import main

    main()
