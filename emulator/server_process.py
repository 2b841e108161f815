"""The real `teltonika serve`, with its embedded Valkey, as a process for tests."""

import asyncio
import json
import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from teltonika.emulator.programs import outputs

STREAM = "telemetry:teltonika"
START_S = 30.0
"""For a server until it listens."""
STOP_S = 30.0
"""For a server that is told to end."""

_PROGRAM = (sys.executable, "-c", "from teltonika.cli.main import main; main()")


class ServerProcess:
    """A server that runs: where it listens, and what it stored."""

    def __init__(self, listening: dict[str, Any], log: Path) -> None:
        self.host: str = listening["host"]
        self.port: int = listening["port"]
        self.redis_url: str = listening["redis"]
        """A URL that redis-py opens."""
        self.instance_id: str = listening["instance_id"]
        self.log = log
        """The file of its log."""

    def records(self, imei: str | None = None) -> list[dict[str, Any]]:
        """The payload of each record on the telemetry stream, or of one device's, in order."""
        from redis import Redis  # noqa: PLC0415 - takes 0.1 s

        with Redis.from_url(self.redis_url, decode_responses=True) as client:
            entries: Any = client.xrange(STREAM)
        payloads = [json.loads(fields["payload"]) for _, fields in entries]
        return [one for one in payloads if imei in {None, one["device_id"]}]

    async def ask(self, imei: str, command: str) -> str:
        """Send a command to a device, as `teltonika send` does; its answer.

        Raises RuntimeError with what that said where there is none.
        """
        process = await asyncio.create_subprocess_exec(
            *_PROGRAM,
            *("send", imei, command, "--redis", self.redis_url),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        answer, complaint = await outputs(process)
        if process.returncode:
            raise RuntimeError(complaint.decode().strip())
        return answer.decode().rstrip("\n")


@contextmanager
def running_server(folder: Path, *options: str) -> Iterator[ServerProcess]:
    """A server with its data and its log in ``folder``, on a free port of 127.0.0.1.

    ``options`` are more options of `teltonika serve`. Raises RuntimeError with its log where it
    does not listen within `START_S`, or does not end well.
    """
    log = folder / "serve.log"
    command = [*_PROGRAM, "serve", "--host", "127.0.0.1", "--port", "0"]
    command += ["--data-dir", str(folder / "data"), *options]
    with (
        log.open("wb") as complaints,
        subprocess.Popen(  # noqa: S603 - our own program
            command, stdout=subprocess.PIPE, stderr=complaints
        ) as process,
    ):
        try:
            assert process.stdout is not None
            if not select.select([process.stdout], [], [], START_S)[0]:
                complaint = f"the server did not listen within {START_S:g} s"
                raise RuntimeError(f"{complaint}:\n{log.read_text()}")
            line = process.stdout.readline()
            if not line:
                raise RuntimeError(f"the server did not start:\n{log.read_text()}")
            yield ServerProcess(json.loads(line), log)
        finally:
            process.terminate()
            try:
                exit_code = process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        if exit_code:
            raise RuntimeError(f"the server ended with {exit_code}:\n{log.read_text()}")
