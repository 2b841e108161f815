"""The installed `teltonika serve` as a process, and a device's bare socket to talk to it."""

import json
import socket
import subprocess
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import redis

from teltonika.codecs import (
    COMMAND_CODECS,
    CommandMessage,
    MessageType,
    decode_packet,
    encode_imei,
    encode_message,
)

TELTONIKA = str(Path(sysconfig.get_path("scripts")) / "teltonika")
IMEI = "356307042441013"
STREAM = "telemetry:teltonika"
MESSAGES = f"{STREAM}:messages"
RESPONSES = "commands:responses"
REGISTRY = "connections:registry"


class ServerProcess:
    """A running server: its line, its log so far, a client of its Redis."""

    PROGRAM = (TELTONIKA,)

    def __init__(
        self,
        data_dir: Path,
        *options: str,
        redis_url: str | None = None,
        program: tuple[str, ...] = PROGRAM,
        stderr: int | None = None,
    ) -> None:
        """``stderr``: a descriptor in place of the file of its log."""
        self.data_dir = data_dir
        self._probes = 0
        data_dir.mkdir(parents=True, exist_ok=True)
        self.log_path = data_dir / "stderr.log"
        command = [*program, "serve", "--host", "127.0.0.1", "--port", "0"]
        command += ["--data-dir", str(data_dir), "--log-format", "json", *options]
        if redis_url is not None:
            command += ["--redis", redis_url]
        with self.log_path.open("ab") as log:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr or log, text=True
            )
        assert self.process.stdout is not None
        self.line = self.process.stdout.readline()
        if not self.line:
            self.process.wait(timeout=30)
            self.process.stdout.close()
            raise AssertionError(self.log_path.read_text())
        self.listening: dict[str, Any] = json.loads(self.line)
        self.port: int = self.listening["port"]
        self.udp_port: int = self.listening.get("udp_port", 0)
        self.redis = redis.Redis.from_url(
            self.listening["redis"], decode_responses=True, socket_timeout=None
        )

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

    @property
    def instance_id(self) -> str:
        return str(self.listening["instance_id"])

    @property
    def outbound(self) -> str:
        """The stream of commands to this instance."""
        return f"commands:outbound:{self.instance_id}"

    def publish(self, command_id: str, payload: str = "getver", **fields: str) -> str:
        """Put a command on this instance's stream; the entry's id."""
        command = {"command_id": command_id, "imei": IMEI, "payload": payload, **fields}
        return str(self.redis.xadd(self.outbound, command))

    def all_taken(self) -> None:
        """Return once every command published so far has been read and queued, or has ended."""
        self._probes += 1
        self.publish(f"probe-{self._probes}", imei="000000000000000")
        self.statuses(f"probe-{self._probes}")

    def statuses(self, *command_ids: str) -> list[dict[str, str]]:
        """Every status of these commands, once each of them has ended."""
        return wait_for_statuses(self.redis, *command_ids)

    def ending(self, command_id: str) -> tuple[str, str | None]:
        """How a command ended: status and reason. It has one ending, and at most one delivery."""
        statuses = self.statuses(command_id)
        names = [status["status"] for status in statuses]
        assert names[:-1] in ([], ["delivered"]), statuses
        return names[-1], statuses[-1].get("reason")

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.process.terminate()
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(timeout=30)

    def log_text(self) -> str:
        return self.log_path.read_text()

    def log(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log_text().splitlines() if line[0] == "{"]

    def wait_for_log(self, event: str) -> None:
        """Return once the log has a line of this event."""
        wait_for_log_of_any([self], event)

    def logged(self, *events: str, at_least: int = 1) -> list[dict[str, Any]]:
        """The lines of these events, once there are so many, or the server has ended: a thread of
        its own writes its log, after what the line is about."""
        if self.process.poll() is None:
            wait_for_log_of_any([self], *events, lines=at_least, until_ended=self.process.pid)
        return self.logged_so_far(*events)

    def logged_so_far(self, *events: str) -> list[dict[str, Any]]:
        return [line for line in self.log() if line["event"] in events]

    def entries(self) -> list[dict[str, str]]:
        return [fields for _, fields in self.redis.xrange(STREAM)]

    def payloads(self, imei: str | None = None) -> list[dict[str, Any]]:
        """Every payload on the stream, in order; of one device if asked."""
        payloads = [json.loads(entry["payload"]) for entry in self.entries()]
        return [p for p in payloads if imei is None or p["device_id"] == imei]


def wait_for_log_of_any(
    servers: Sequence[ServerProcess], *events: str, lines: int = 1, until_ended: int | None = None
) -> None:
    """Return once their logs have so many lines of these events, or the process has ended."""
    command = ["tail", "-q", "-n", "+1", "-F", *(str(server.log_path) for server in servers)]
    if until_ended is not None:
        command += ["--pid", str(until_ended), "-s", "0.1"]
    wanted = [f'"event":"{event}"' for event in events]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as tail:
        assert tail.stdout is not None
        for line in tail.stdout:
            lines -= any(one in line.replace(": ", ":") for one in wanted)
            if lines <= 0:
                break
        tail.kill()


def wait_for_statuses(client: redis.Redis, *command_ids: str) -> list[dict[str, str]]:
    """All that `commands:responses` has about these commands, once each of them has ended."""
    found: list[dict[str, str]] = []
    open_ids, after = set(command_ids), "0"
    while open_ids:
        reply = client.xread({RESPONSES: after}, block=30_000)
        assert reply, f"no ending of {open_ids}; found {found}"
        for after, status in reply[0][1]:  # noqa: B007
            if status["command_id"] in command_ids:
                found.append(status)
                if status["status"] != "delivered":
                    open_ids.discard(status["command_id"])
    return found


def wait_for_entry(client: redis.Redis, imei: str, instance_id: str | None) -> None:
    """Return once the registry has the device there, or nowhere if that is None."""
    with client.pubsub() as changes:
        client.config_set("notify-keyspace-events", "Khg")
        changes.subscribe(f"__keyspace@0__:{REGISTRY}")
        while client.hget(REGISTRY, imei) != instance_id:
            assert changes.get_message(timeout=30) is not None


class BareDevice:
    """A blocking socket that says what it is told to: no state machine between test and server."""

    def __init__(self, port: int, imei: str | None = IMEI) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=30)
        if imei is None:
            return
        try:
            self.send(encode_imei(imei))
            assert self.receive(1) == b"\x01"
        except BaseException:
            self.socket.close()
            raise

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

    def command(self) -> CommandMessage:
        """The next frame, which must be a command."""
        header = self.receive(8)
        assert len(header) == 8, f"the server closed after {header!r}"
        message = decode_packet(header + self.receive(int.from_bytes(header[4:]) + 4))
        assert isinstance(message, CommandMessage)
        assert message.type is MessageType.COMMAND
        return message

    def answer(self, command: CommandMessage, content: bytes = b"ok") -> None:
        codec = COMMAND_CODECS.by_id(command.codec_id)
        self.send(encode_message(codec.answer(command, content)))

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

    def leave(self) -> None:
        """Close, and return once the server has noticed."""
        self.socket.shutdown(socket.SHUT_WR)
        assert self.closed_by_server()

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


class BareDatagrams:
    """A UDP socket that says what it is told to, to one server."""

    def __init__(self, port: int) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.settimeout(30)
        self.socket.connect(("127.0.0.1", port))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.socket.close()

    def send(self, datagram: bytes) -> None:
        self.socket.send(datagram)

    def answer(self) -> bytes:
        """The next datagram, whole."""
        return self.socket.recv(65_536)

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
