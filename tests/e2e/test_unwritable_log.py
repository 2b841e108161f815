"""Standard error that is broken, full, closed or not read, and standard output likewise.

Whatever becomes of the log, devices are served, commands end, and the server drains.
"""

import asyncio
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from scraping import scrape
from serving import IMEI, STREAM, TELTONIKA, BareDevice, ServerProcess, run_teltonika

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet
from teltonika.server import Listening, ServerSettings, serve
from teltonika.server.authority import Authority
from teltonika.server.logs import LogFormat, LogLevel, configure_logs, lines_dropped

StartServer = Callable[..., ServerProcess]
CLOSED = "closed"
FULL = "full"
BROKEN = "broken"
BLOCKED = "blocked"
KINDS = (CLOSED, FULL, BROKEN, BLOCKED)
UNKNOWN = "356307042441021"
OPTIONS = ("--authority", "allow-list", "--strict", "--reconnect-grace", "0")
ENDLESS = ("--log-lines-per-peer", "0", "--max-empty-frames", "0")
SHELL = {CLOSED: ("bash", "-c", 'exec "$@" 2>&-', "bash")}


@contextmanager
def unwritable(kind: str) -> Iterator[int]:
    """A descriptor that can't be written, or that blocks."""
    if kind in (CLOSED, FULL):
        descriptor = os.open("/dev/full" if kind == FULL else os.devnull, os.O_WRONLY)
        try:
            yield descriptor
        finally:
            os.close(descriptor)
        return
    reading, writing = os.pipe()
    try:
        if kind == BROKEN:
            os.close(reading)
        else:
            fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, 4096)
            os.set_blocking(writing, False)
            with suppress(BlockingIOError):
                while True:
                    os.write(writing, b"." * 4096)
            os.set_blocking(writing, True)
        yield writing
    finally:
        os.close(writing)
        if kind != BROKEN:
            os.close(reading)


def packet(number: int) -> bytes:
    record = AvlRecord(1_600_000_000_000 + number, 0, 0, 0, 0, 0, 0, 0)
    return encode_packet(AVL_CODECS.by_name("8"), [record])


def work(server: ServerProcess) -> None:
    """One of each: taken, junk, refused, a command that fails, taken over; a device is left."""
    server.redis.sadd("devices:allowed", IMEI)
    server.redis.publish("devices:allowed:changed", "")
    with BareDevice(server.port, imei=None) as junk:
        junk.send(b"GET / HTTP/1.1\r\n\r\n")
        assert junk.closed_by_server()
    with BareDevice(server.port, imei=None) as refused:
        refused.send(b"\x00\x0f" + UNKNOWN.encode())
        assert refused.receive(2) == b"\x00"
    with known_device(server.port) as old:
        old.send(packet(1))
        assert old.acknowledged() == 1
        with known_device(server.port) as device:
            assert old.closed_by_server()
            device.send(packet(2)[:-1] + b"\xff")  # a wrong CRC
            device.send(packet(2))
            assert device.acknowledged() == 1
            for name, imei in (("away", UNKNOWN), ("wrong", "no IMEI")):
                server.publish(name, imei=imei)
            assert server.ending("away") == ("failed", "not_connected")
            assert server.ending("wrong") == ("failed", "invalid")


def known_device(port: int) -> BareDevice:
    """Once the allow-list was read anew, which it is within its time."""
    until = time.monotonic() + 60
    while True:
        try:
            return BareDevice(port)
        except (AssertionError, ConnectionResetError):
            assert time.monotonic() < until


@pytest.mark.parametrize("kind", KINDS)
def test_devices_are_served_whatever_becomes_of_the_log(
    start_server: StartServer, kind: str
) -> None:
    with unwritable(kind) as stderr:
        server = start_server(
            *OPTIONS,
            *("--log-level", "debug", "--metrics", "0", "--authority-refresh", "0.1"),
            program=(*SHELL.get(kind, ()), *ServerProcess.PROGRAM),
            stderr=stderr,
        )
        work(server)
        dropped = scrape(server).value("teltonika_log_lines_dropped_total")
        assert len(server.entries()) == 2
        assert server.stop() == 0
    assert server.process.stdout is not None
    assert server.process.stdout.read() == ""
    if kind in (FULL, BROKEN):
        assert dropped >= 8  # listening, and one for each thing that happened


@pytest.mark.parametrize("kind", [FULL, BLOCKED])
def test_workers_and_their_supervisor_do_not_need_the_log(
    start_server: StartServer, kind: str
) -> None:
    with unwritable(kind) as stderr:
        server = start_server(
            *("--workers", "2", "--log-level", "debug", "--metrics", "0"),
            program=(*SHELL.get(kind, ()), *ServerProcess.PROGRAM),
            stderr=stderr,
        )
        with BareDevice(server.port) as device:
            device.send(packet(1))
            assert device.acknowledged() == 1
        page = scrape(server)
        dropped = [
            page.value("teltonika_log_lines_dropped_total", worker=worker)
            for worker in ("1", "2", "supervisor")
        ]
        assert server.stop() == 0
    if kind in (FULL, BROKEN):
        assert min(dropped) >= 1


LINES = 15_000
"""More than the pipe and the queue hold."""


def test_when_the_log_is_read_again_it_goes_on_and_says_what_is_missing(
    start_server: StartServer,
) -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading) as log:
        server = start_server(*ENDLESS, "--idle-timeout", "600", stderr=writing)
        os.close(writing)
        with BareDevice(server.port) as device:
            for number in range(LINES):
                device.send(packet(number)[:-1] + bytes((packet(number)[-1] ^ 1,)))
            device.send(packet(1))
            assert device.acknowledged() == 1
            events = []
            for text in log:
                line = json.loads(text)
                events.append(line["event"])
                if line["event"] == "log_lines_dropped":
                    break
        lost = line["lines"]
        assert "listening" in events
        assert events.count("crc_failed") == LINES - lost
        server.process.send_signal(signal.SIGTERM)
        rest = [json.loads(text) for text in log]
    assert server.process.wait(timeout=30) == 0
    assert rest[-1]["event"] == "stopped"
    assert rest[-1]["log_lines_dropped"] == lost


@pytest.mark.parametrize(("kind", "workers"), [*((kind, "1") for kind in KINDS), (BLOCKED, "2")])
def test_a_server_whose_line_cannot_be_printed_serves(
    tmp_path: Path, kind: str, workers: str
) -> None:
    command = [TELTONIKA, "serve", "--host", "127.0.0.1", "--port", "0", "--workers", workers]
    command += ["--data-dir", str(tmp_path), "--log-format", "json"]
    if kind == CLOSED:
        command = ["bash", "-c", 'exec "$@" >&-', "bash", *command]
    with unwritable(kind) as stdout:
        server = subprocess.Popen(command, stdout=stdout, stderr=subprocess.PIPE, text=True)
        assert server.stderr is not None
        with server:
            try:
                line = next_line(server.stderr, "listening", pid=server.pid)
                if kind != CLOSED:
                    reason = next_line(server.stderr, "listening_not_printed")["reason"]
                    assert (
                        reason
                        in {
                            FULL: "No space left on device",
                            BROKEN: "Broken pipe",
                            BLOCKED: "nobody reads standard output",
                        }[str(kind)]
                    )
                with BareDevice(int(str(line["port"]))) as device:
                    device.send(packet(1))
                    assert device.acknowledged() == 1
            finally:
                server.terminate()
            rest = server.stderr.read()
            assert server.wait(timeout=60) == 0, rest
    assert "Traceback" not in rest


def next_line(lines: Iterator[str], event: str, **fields: object) -> dict[str, object]:
    for text in lines:
        line: dict[str, object] = json.loads(text)
        if line["event"] == event and fields.items() <= line.items():
            return line
    raise AssertionError(event)


class Failing:
    """A stream whose every write fails, with what nobody expects."""

    encoding = "utf-8"

    def __init__(self) -> None:
        self.writes = 0

    def write(self, _: str) -> int:
        self.writes += 1
        raise LookupError("no stream")

    def flush(self) -> None:
        raise LookupError("no stream")

    def isatty(self) -> bool:
        return False


async def test_a_failing_write_under_every_log_call_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import logging

    import structlog

    failing = Failing()
    root_handlers, root_level = logging.root.handlers[:], logging.root.level
    monkeypatch.setattr(sys, "stderr", failing)
    old = structlog.get_config()
    log = configure_logs(LogFormat.JSON, LogLevel.DEBUG)
    try:
        settings = ServerSettings(
            host="127.0.0.1",
            port=0,
            data_dir=tmp_path,
            authority=Authority.ALLOW_LIST,
            strict=True,
            authority_refresh_s=0.1,
            reconnect_grace_s=0,
        )
        stop = asyncio.Event()
        listening: asyncio.Future[Listening] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as group:
            group.create_task(serve(settings, stop, listening.set_result))
            address = await listening
            try:
                await asyncio.to_thread(work, _Here(address))
            finally:
                stop.set()
        assert log.finish(60)
        assert failing.writes == lines_dropped() >= 10
    finally:
        structlog.configure(**old)
        logging.root.handlers[:] = root_handlers
        logging.root.setLevel(root_level)


class _Here(ServerProcess):
    """A server in this process."""

    def __init__(self, address: Listening) -> None:
        import redis

        self.port = address.port
        self.listening = {"instance_id": address.instance_id}
        self.redis = redis.Redis.from_url(address.redis, decode_responses=True)


TALKING_COMMANDS = {
    "emulate": ("emulate", "--imei", IMEI, "--port", "{port}", "--records", "2", "--json"),
    "fleet": ("emulate", "--count", "2", "--port", "1", "--give-up-after", "1", "--json"),
    "conform": ("conform", "127.0.0.1:{port}", "--timeout", "1", "--case", "handshake"),
    "send": ("send", UNKNOWN, "getinfo", "--redis", "{redis}", "--json"),
    "tail": ("tail", "--since", "1h", "--count", "1", "--redis", "{redis}", "--json"),
}
"""Each says something on standard error as well."""


@pytest.mark.parametrize("names", [("emulate", "fleet", "conform"), ("send", "tail")], ids=str)
def test_commands_do_their_work_without_standard_error(
    server: ServerProcess, names: tuple[str, ...]
) -> None:
    """All have the same queue: one is tried with each kind, the others with one kind."""
    server.redis.xadd(STREAM, {"odd": "entry"})
    with BareDevice(server.port) as device:
        device.send(packet(1))
        assert device.acknowledged() == 1
    redis_url = str(server.listening["redis"])
    for name in names:
        options = [one.format(port=server.port, redis=redis_url) for one in TALKING_COMMANDS[name]]
        good = run_teltonika(*options)
        assert good.stderr
        assert "Traceback" not in good.stderr
        for kind in KINDS if name == "send" else (BLOCKED,):
            with unwritable(kind) as stderr:
                found = subprocess.run(
                    [*SHELL.get(kind, ()), TELTONIKA, *options],
                    stdout=subprocess.PIPE,
                    stderr=stderr,
                    timeout=100,
                    check=False,
                )
            assert found.returncode == good.returncode, (name, kind)
            assert len(found.stdout.splitlines()) == len(good.stdout.splitlines()), (name, kind)
