"""How much memory this process and its children may use: the machine's, or less by its cgroup."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def memory_limit(root: Path = ROOT) -> int:
    """Bytes: the least of the machine's memory and what each cgroup around this process allows.

    Versions 1 and 2 of cgroups are read. ``root`` is where ``/proc`` and ``/sys`` are.
    """
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return min([physical, *_cgroup_limits(root)])


def _cgroup_limits(root: Path) -> Iterator[int]:
    """Each limit that is set; "max" of version 2 is none, and version 1 has a huge number then."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:  # no Linux
        return
    for line in lines:
        number, controllers, group = line.split(":", 2)
        if number == "0" and not controllers:
            mount, name = root / "sys/fs/cgroup", "memory.max"
        elif "memory" in controllers.split(","):
            mount, name = root / "sys/fs/cgroup/memory", "memory.limit_in_bytes"
        else:
            continue
        # in a container the path may be the host's, of which only the last part is mounted: its top
        path = PurePosixPath(group)
        for directory in (path, *path.parents):
            limit = _read_limit(mount / str(directory).lstrip("/") / name)
            if limit is not None:
                yield limit


def _read_limit(file: Path) -> int | None:
    try:
        text = file.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) > 0 else None
