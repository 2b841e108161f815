"""A lock file of the kernel's: whoever holds the open file holds the lock, until it ends."""

import asyncio
import contextlib
import fcntl
import os
import threading
from pathlib import Path


class FileLock:
    """``flock`` on a file, with a note in it for whoever finds it taken.

    A child process that is handed ``fileno()`` holds the lock as well: it is free again only
    when both have ended.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def fileno(self) -> int:
        return self._fd

    def acquire(self) -> bool:
        """Take the lock, or say that somebody else has it. Raises OSError for the file itself."""
        self._open()
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    async def wait(self) -> None:
        """Take the lock once it is free. Cancelling gives up; a last holder may still hand it over.

        `flock` can only wait by blocking, so it waits in a daemon thread, which nothing joins.
        """
        self._open()
        loop = asyncio.get_running_loop()
        acquired = asyncio.Event()
        own_fd = os.dup(self._fd)  # of the same lock: `release` may come before the thread begins

        def block() -> None:
            fcntl.flock(own_fd, fcntl.LOCK_EX)
            os.close(own_fd)
            with contextlib.suppress(RuntimeError):  # nobody waits any more: the loop is closed
                loop.call_soon_threadsafe(acquired.set)

        threading.Thread(target=block, daemon=True, name="flock").start()
        await acquired.wait()

    def read(self) -> str:
        """The note that the holder left."""
        return self._path.read_text().strip()

    def write(self, note: str) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, note.encode(), 0)

    def release(self) -> None:
        """Let go, of this process's hold only."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _open(self) -> None:
        if self._fd < 0:
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
