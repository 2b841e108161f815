"""What the machine gives a server: open files, kernel settings, a clock, a disk."""

import os
import shutil
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from teltonika.server.acceptor import BACKLOG
from teltonika.server.connection_limits import RESERVED_DESCRIPTORS, raise_descriptor_limit
from teltonika.server.doctor.finding import Finding, failure, ok, warning
from teltonika.server.storage_watch import least_free_disk
from teltonika.server.workers.shares import share

SCARCE_BYTES = 1 << 30
TOO_FEW_BYTES = 100 << 20
EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""This program was not there before."""
LATEST = datetime(2100, 1, 1, tzinfo=UTC)
PROC = Path("/proc/sys")


def check_descriptors(max_connections: int, workers: int = 1) -> Finding:
    """Whether as many connections can be open as are to be; each worker has the limit to itself."""
    max_connections = share(max_connections, workers)
    limit = raise_descriptor_limit()
    possible = max(1, limit - RESERVED_DESCRIPTORS)
    found = f"the limit for open files is {limit}: {possible} connections"
    if max_connections <= possible:
        return ok("descriptors", found)
    return warning(
        "descriptors",
        f"{found}, and --max-connections is {max_connections}"
        + (" for each worker" if workers > 1 else ""),
        "raise the hard limit (LimitNOFILE= of a systemd unit, ulimit -Hn of a shell), or ask for "
        "fewer with --max-connections",
    )


def check_cores(workers: int) -> Finding:
    """Whether each worker can have a core to itself."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    found = f"{workers} workers, and this machine has {cores or 'unknown'} cores"
    if cores is None or workers <= cores:
        return ok("workers", found)
    return warning(
        "workers", found, f"they take turns: more than --workers {cores} serve no more devices"
    )


def check_overcommit() -> Iterator[Finding]:
    """Whether a Redis on this machine can fork with much of its memory in use."""
    value = _kernel_setting("vm/overcommit_memory")
    if value is None:
        return
    found = f"vm.overcommit_memory is {value}"
    if value == 1:
        yield ok("overcommit", found)
    else:
        yield warning(
            "overcommit",
            f"{found}: a Redis that has half of the memory cannot rewrite its append-only file",
            "sysctl -w vm.overcommit_memory=1, and the same in /etc/sysctl.d",
        )


def check_backlog() -> Iterator[Finding]:
    """How many devices may wait to be accepted when all of them connect at once."""
    value = _kernel_setting("net/core/somaxconn")
    if value is None:
        return
    found = f"net.core.somaxconn is {value}"
    if value >= BACKLOG:
        yield ok("backlog", found)
    else:
        yield warning(
            "backlog",
            f"{found}: of a fleet that connects at once more than that are kept waiting",
            f"sysctl -w net.core.somaxconn={BACKLOG}, and the same in /etc/sysctl.d",
        )


def check_clock() -> Finding:
    """Whether this machine's time can be right."""
    now = datetime.fromtimestamp(time.time_ns() / 1e9, UTC)
    found = f"it is {now:%Y-%m-%dT%H:%M:%SZ}"
    if EARLIEST <= now < LATEST:
        return ok("clock", found)
    return failure("clock", found, "set the clock, and keep it right with NTP (chrony, timesyncd)")


def check_data_directory(directory: Path) -> Finding:
    """Whether a server can keep its files there."""
    directory = directory.absolute()
    there = _nearest(directory)
    found = str(directory) if there == directory else f"{directory}, to be made in {there}"
    if not there.is_dir():
        return failure(
            "data-directory", f"{there} is no directory", "name another one with --data-dir"
        )
    if os.access(there, os.R_OK | os.W_OK | os.X_OK):
        return ok("data-directory", found)
    return failure(
        "data-directory",
        f"{found}: this user may not write there",
        "run this, and the server, as the user who owns it, or name another one with --data-dir",
    )


def check_disk(directory: Path, min_free: int | None = None) -> Finding:
    """Whether there is room where the embedded Valkey keeps its data.

    ``min_free``: with less free the server stores nothing; None is the default.
    """
    there = _nearest(directory)
    usage = shutil.disk_usage(there)
    found = f"{_size(usage.free)} of {_size(usage.total)} are free at {there}"
    needed = least_free_disk(min_free, usage.total)
    advice = (
        f"make room: with less than {_size(needed)} nothing is stored or acknowledged, and the "
        "append-only file grows to 512 MiB and more before it is rewritten"
    )
    if usage.free < max(TOO_FEW_BYTES, needed):
        return failure("disk", found, advice)
    if usage.free < max(SCARCE_BYTES, 2 * needed):
        return warning("disk", found, advice)
    return ok("disk", found)


def _nearest(directory: Path) -> Path:
    """The directory, or the one above it in which it would be made."""
    absolute = directory.absolute()
    return next(one for one in (absolute, *absolute.parents) if os.path.lexists(one))


def _kernel_setting(name: str) -> int | None:
    """None where there is none, as on macOS."""
    try:
        return int((PROC / name).read_text())
    except (OSError, ValueError):
        return None


def _size(count: int) -> str:
    return f"{count / (1 << 30):.1f} GiB" if count >= 1 << 30 else f"{count / (1 << 20):.0f} MiB"
