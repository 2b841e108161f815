"""A disk of its own for a Valkey, that can be full: a tmpfs, which only those see who enter it.

It is mounted in a mount namespace, which a process keeps that ends with this one, however this one
ends: no mount stays behind.
"""

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

TO_SPARE = (1 << 14, 1 << 17, 1 << 20, 1 << 23)
"""Bytes that are free on a full disk, for it can't be made smaller than what stands on it by then:
the least with which that succeeds."""


class NoSmallDiskError(Exception):
    """There can be none here; says why."""


class SmallDisk:
    """Enter it with ``program``, in front of a command."""

    def __init__(self, directory: Path, size: int, keeper: "subprocess.Popen[str]") -> None:
        self.directory = directory
        self.program = (
            *("nsenter", f"--mount=/proc/{keeper.pid}/ns/mnt"),
            *(() if os.geteuid() == 0 else (f"--user=/proc/{keeper.pid}/ns/user",)),
            *(() if os.geteuid() == 0 else ("--preserve-credentials",)),
            "--",
        )
        self._size = size
        self._outside = Path(f"/proc/{keeper.pid}/root{directory}")

    @property
    def files(self) -> list[Path]:
        """What is on it, as it is seen from outside."""
        return [path for path in self._outside.rglob("*") if path.is_file()]

    @property
    def used(self) -> int:
        """Bytes."""
        state = os.statvfs(self._outside)
        return (state.f_blocks - state.f_bfree) * state.f_frsize

    @contextlib.contextmanager
    def full(self) -> Iterator[None]:
        """No more than a few bytes can be written."""
        if not any(self.resize(self.used + spare) for spare in TO_SPARE):
            raise NoSmallDiskError("it is written to faster than it can be made smaller")
        try:
            yield
        finally:
            assert self.resize(self._size)

    def resize(self, size: int) -> bool:
        """Whether it has that size now."""
        # what else it is mounted with is not asked: not all of it may be said again
        remount = ("mount", "--options-mode=ignore", "-t", "tmpfs", "-o", f"remount,size={size}")
        done = subprocess.run(
            [*self.program, *remount, "tmpfs", self.directory],
            stderr=subprocess.DEVNULL,
            check=False,
        )
        return done.returncode == 0


@contextlib.contextmanager
def small_disk(directory: Path, size: int) -> Iterator[SmallDisk]:
    """Mount one there. Raises NoSmallDiskError."""
    if shutil.which("unshare") is None or shutil.which("nsenter") is None:
        raise NoSmallDiskError("no unshare and nsenter here")
    directory.mkdir(parents=True, exist_ok=True)
    command = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh"]
    script = 'mount -t tmpfs -o "size=$1" tmpfs "$0" && echo mounted && exec cat'
    with subprocess.Popen(
        [*command, "-c", script, directory, str(size)],
        stdin=subprocess.PIPE,  # cat ends when this process has, and the mount with it
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as keeper:
        assert keeper.stdout is not None
        assert keeper.stderr is not None
        if not keeper.stdout.readline():
            raise NoSmallDiskError(f"a tmpfs can't be mounted: {keeper.stderr.read().strip()}")
        disk = SmallDisk(directory, size, keeper)
        if not disk.resize(size):
            raise NoSmallDiskError("a tmpfs can be mounted, and not made smaller")
        yield disk
