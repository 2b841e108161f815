"""What an attack does to a server: its memory, its Valkey, and everybody else's answers."""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
from rich.console import Console
from rich.table import Table

sys.path.append(str(Path(__file__).parents[1]))

from serving import IMEI, BareDevice, ServerProcess

from teltonika.codecs import AVL_CODECS, AvlRecord, encode_packet

ATTACKS = ("wrong_crc", "ff_stream", "fill_disk")
HELP = """\
Starts a server, lets one honest device send a packet every 20 ms and asks for /healthz four times a
second, for so many seconds without an attack and for so many with one, and prints both.
"""
PACKET_INTERVAL_S = 0.02
HEALTH_INTERVAL_S = 0.25
AT_MOST_S = 120.0
"""For one answer: one that takes longer counts as so long."""


class Waits:
    """How long each answer took, by whoever asks for one again and again."""

    def __init__(self, ask: Callable[[], None], interval_s: float) -> None:
        self._ask = ask
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._waits_s: list[float] = []
        self._asked_at: float | None = None
        self.error: Exception | None = None

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            self._thread.join()

    def take(self) -> list[float]:
        """The answers since the last time; one that is waited for counts with its age so far."""
        taken, self._waits_s = self._waits_s, []
        asked_at = self._asked_at
        if asked_at is not None:
            taken.append(time.monotonic() - asked_at)
        return taken

    def _run(self) -> None:
        while not self._stopped.wait(self._interval_s):
            self._asked_at = asked_at = time.monotonic()
            try:
                self._ask()
            except OSError as error:
                self.error = error
                return
            self._waits_s.append(time.monotonic() - asked_at)
            self._asked_at = None


def asking_device(device: BareDevice) -> Callable[[], None]:
    """Sends the next packet and waits for its ACK."""
    codec = AVL_CODECS.by_name("8")
    next_ms = 1_700_000_000_000

    def ask() -> None:
        nonlocal next_ms
        next_ms += 1_000
        device.send(encode_packet(codec, [AvlRecord(next_ms, 0, 0, 0, 0, 0, 0, 0)]))
        if device.receive(4) != b"\x00\x00\x00\x01":
            raise ConnectionError("the honest device was not acknowledged")

    return ask


def asking_health(address: str) -> Callable[[], None]:
    def ask() -> None:
        with contextlib.suppress(urllib.error.HTTPError):  # unhealthy, and answered
            urllib.request.urlopen(f"http://{address}/healthz", timeout=AT_MOST_S).read()

    return ask


@contextlib.contextmanager
def killed_if_it_does_not_stop(server: ServerProcess) -> Iterator[None]:
    """A server that is busy with what it has read does not hear that it is to stop."""
    valkey = psutil.Process(server.valkey_pid)
    try:
        yield
    finally:
        try:
            server.stop()
        except subprocess.TimeoutExpired:
            print("the server did not stop within 30 s, and was killed")
            server.kill()
            with contextlib.suppress(psutil.NoSuchProcess):
                valkey.kill()


def row(
    what: str, server: ServerProcess, waits: tuple[Waits, Waits], seconds: float
) -> tuple[str, ...]:
    device, health = (one.take() for one in waits)
    resident = psutil.Process(server.process.pid).memory_info().rss
    valkey = psutil.Process(server.valkey_pid).memory_info().rss
    kept = sum(file.stat().st_size for file in server.data_dir.rglob("*") if file.is_file())
    return (
        what,
        f"{resident / 1e6:.0f}",
        f"{valkey / 1e6:.0f}",
        f"{kept / 1e6:.0f}",
        f"{server.log_path.stat().st_size / 1e6:.1f}",
        f"{len(device) / seconds:.0f}",
        f"{1000 * sorted(device)[len(device) // 2]:.0f}",
        f"{1000 * max(device):.0f}",
        f"{1000 * max(health, default=0):.0f}",
    )


def measure(attack: str, connections: int, seconds: float, options: list[str]) -> None:
    table = Table(
        *("", "server, MB", "Valkey, MB", "on disk, MB", "log, MB", "honest ACKs/s"),
        *("median, ms", "longest, ms", "/healthz longest, ms"),
        title=f"{attack}, {connections} at a time, {seconds:g} s",
    )
    script = Path(__file__).with_name(f"{attack}.py")
    with (
        tempfile.TemporaryDirectory(prefix="teltonika-attack-", ignore_cleanup_errors=True) as name,
        ServerProcess(Path(name) / "data", "--metrics", "127.0.0.1:0", *options) as server,
        killed_if_it_does_not_stop(server),
        BareDevice(server.port, IMEI) as honest,
    ):
        honest.socket.settimeout(AT_MOST_S)
        waits = (
            Waits(asking_device(honest), PACKET_INTERVAL_S),
            Waits(asking_health(server.listening["metrics"]), HEALTH_INTERVAL_S),
        )
        with waits[0].running(), waits[1].running():
            time.sleep(seconds)
            table.add_row(*row("before", server, waits, seconds))
            arguments = ("127.0.0.1", str(server.port), str(seconds), str(connections))
            began = time.monotonic()
            said = subprocess.run(
                [sys.executable, str(script), *arguments], check=True, stdout=subprocess.PIPE
            ).stdout
            table.add_row(*row("attacked", server, waits, time.monotonic() - began))
            time.sleep(5)
            table.add_row(*row("5 s later", server, waits, 5))
        for one in waits:
            if one.error is not None:
                print(f"an answer did not come: {one.error!r}")
    print(said.decode().strip())
    Console(width=130).print(table)


def main() -> None:
    parser = argparse.ArgumentParser(description=HELP)
    parser.add_argument("attack", choices=ATTACKS)
    parser.add_argument("--connections", type=int, default=1, help="at a time (1)")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each of the two (12)")
    parser.add_argument("options", nargs="*", help="of `serve`, after --")
    arguments = parser.parse_args()
    measure(arguments.attack, arguments.connections, arguments.seconds, arguments.options)


if __name__ == "__main__":
    main()
