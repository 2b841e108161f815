"""The data directory: one server's own place on disk, locked while it runs."""

import os
import re
import secrets
import socket
from pathlib import Path
from types import TracebackType
from typing import Self

from teltonika.server.errors import DataDirectoryBusyError, ServerError
from teltonika.server.file_lock import FileLock

MAX_ID_LENGTH = 128


def check_instance_id(text: str) -> str:
    """``text`` if it can stand in keys, in logs and on a screen. Raises ValueError."""
    if not text.isprintable() or text != text.strip() or not 0 < len(text) <= MAX_ID_LENGTH:
        raise ValueError(
            f"expected 1 to {MAX_ID_LENGTH} printable characters, and no space around them, "
            f"found {text[:40]!r}"
        )
    return text


class DataDirectory:
    """A directory that belongs to one server process at a time.

    A context manager: entering takes the lock, or raises DataDirectoryBusyError. The lock is the
    kernel's, so it is gone with the process, however that ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock = FileLock(path / "server.lock")

    def __enter__(self) -> Self:
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            locked = self._lock.acquire()
        except OSError as error:
            raise ServerError(
                f"cannot use the data directory {self.path}: {error.strerror}"
            ) from error
        if not locked:
            holder = self._lock.read() or "unknown"
            self._lock.release()
            raise DataDirectoryBusyError(
                f"the data directory {self.path} is in use by another server "
                f"(pid {holder}): give this one a --data-dir of its own"
            )
        self._lock.write(str(os.getpid()))
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._lock.release()

    def fileno(self) -> int:
        """The lock's open file: a child process that gets it holds the directory, too."""
        return self._lock.fileno()

    def instance_id(self) -> str:
        """The instance's id: made at the first start, the same at every later one."""
        file = self.path / "instance-id"
        host = re.sub(r"[^A-Za-z0-9.-]+", "-", socket.gethostname()) or "host"
        try:
            if file.exists() and (kept := file.read_text().strip()):
                return check_instance_id(kept)
            made = f"{host}-{secrets.token_hex(4)}"
            file.write_text(f"{made}\n")
        except (OSError, UnicodeDecodeError) as error:
            raise ServerError(f"cannot keep the instance id in {file}: {error}") from error
        except ValueError as error:
            raise ServerError(f"the instance id in {file}: {error}") from None
        return made
