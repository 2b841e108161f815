"""The installed `teltonika serve` as a process, and a device's bare socket to talk to it."""

import json
import socket
import subprocess
import sysconfig
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import redis

from teltonika.codecs import encode_imei

TELTONIKA = str(Path(sysconfig.get_path("scripts")) / "teltonika")
IMEI = "356307042441013"
STREAM = "telemetry:teltonika"


class ServerProcess:
    """A running server: its line, its log so far, a client of its Redis."""

    def __init__(self, data_dir: Path, *options: str, redis_url: str | None = None) -> None:
        self.data_dir = data_dir
        data_dir.mkdir(parents=True, exist_ok=True)
        self._log_path = data_dir / "stderr.log"
        command = [TELTONIKA, "serve", "--host", "127.0.0.1", "--port", "0"]
        command += ["--data-dir", str(data_dir), "--log-format", "json", *options]
        if redis_url is not None:
            command += ["--redis", redis_url]
        with self._log_path.open("ab") as log:
            self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True)
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        if not self.line:
            self.process.wait(timeout=30)
            self.process.stdout.close()
            raise AssertionError(self._log_path.read_text())
        self.listening: dict[str, Any] = json.loads(self.line)
        self.port: int = self.listening["port"]
        self.redis = redis.Redis.from_url(self.listening["redis"], decode_responses=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.redis.close()
        if self.process.poll() is None:
            self.stop()
        assert self.process.stdout is not None
        self.process.stdout.close()

    @property
    def valkey_pid(self) -> int:
        return int(self.redis.info("server")["process_id"])

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log_path.read_text().splitlines()]

    def logged(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line["event"] == event]

    def entries(self) -> list[dict[str, str]]:
        return [fields for _, fields in self.redis.xrange(STREAM)]

    def payloads(self, imei: str | None = None) -> list[dict[str, Any]]:
        """Every payload on the stream, in order; of one device if asked."""
        payloads = [json.loads(entry["payload"]) for entry in self.entries()]
        return [p for p in payloads if imei is None or p["device_id"] == imei]


class BareDevice:
    """A blocking socket that says what it is told to: no state machine between test and server."""

    def __init__(self, port: int, imei: str | None = IMEI) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        if imei is not None:
            self.send(encode_imei(imei))
            assert self.receive(1) == b"\x01"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def receive(self, size: int) -> bytes:
        """Exactly ``size`` bytes, fewer only where the server closed."""
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                break
            data += more
        return data

    def acknowledged(self) -> int:
        """The number in the next four bytes."""
        answer = self.receive(4)
        assert len(answer) == 4, f"the server closed after {answer!r}"
        return int.from_bytes(answer)

    def closed_by_server(self) -> bool:
        """Whether the server closes without another byte."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def silent_for(self, seconds: float) -> bool:
        """Whether nothing comes for so long. The one wait for an absence there is."""
        self.socket.settimeout(seconds)
        try:
            self.socket.recv(1)
        except TimeoutError:
            return True
        finally:
            self.socket.settimeout(30)
        return False


def is_running(pid: int) -> bool:
    """Whether a process runs: one that has ended and that nobody has waited for does not."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def run_teltonika(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """One `teltonika` command to its end."""
    return subprocess.run(
        [TELTONIKA, *arguments], capture_output=True, text=True, timeout=100, check=False, **options
    )
