"""A server that accepts a device, and then sends without end, as fast as it can."""

import random
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path

import msgspec

from teltonika.codecs import COMMAND_CODECS, encode_message
from teltonika.codecs.udp import DatagramAnswer, encode_answer

IMEI = "356307042441013"
_CODEC12 = COMMAND_CODECS.by_name("12")
_COMMAND = encode_message(_CODEC12.command("getinfo", IMEI))
_UNKNOWN = encode_message(_CODEC12.command("make me a sandwich", IMEI))
_FOREIGN = encode_message(COMMAND_CODECS.by_name("14").command("getinfo", "350000000000006"))
_BLOCK_SIZE = 262_144


def _block(piece: bytes) -> bytes:
    return piece * (_BLOCK_SIZE // len(piece))


class Flood(Enum):
    """What it sends: these bytes, again and again."""

    RIGHT_ACKS = _block(b"\0\0\0\1")
    WRONG_ACKS = _block(b"\0\0\0\7")
    ZEROS = _block(b"\0")
    FF = _block(b"\xff")
    RANDOM = random.Random(0).randbytes(_BLOCK_SIZE)
    COMMANDS = _block(_COMMAND)
    UNKNOWN_COMMANDS = _block(_UNKNOWN)
    COMMANDS_FOR_ANOTHER = _block(_FOREIGN)
    WRONG_CRC = _block(_COMMAND[:-1] + bytes((_COMMAND[-1] ^ 1,)))
    LONG_FRAMES = _block(b"\0\0\0\0" + (65_000).to_bytes(4) + b"\x0c\1\5" + bytes(65_001))


class DatagramFlood(Enum):
    """What it answers a datagram with: these, again and again."""

    WRONG_ANSWERS = encode_answer(DatagramAnswer(0, 0, 7))
    LATE_ANSWERS = encode_answer(DatagramAnswer(0xDEAD, 1, 1))
    LARGE = random.Random(0).randbytes(60_000)
    EMPTY = b""


class FloodingServer:
    """TCP on `port`, datagrams on `udp_port`; a thread for each connection."""

    def __init__(self, flood: Flood | None, datagram_flood: DatagramFlood) -> None:
        self._flood = flood
        self._datagram_flood = datagram_flood
        self._floods: dict[bytes, Flood] = {}
        self._lock = threading.Lock()
        self._ends = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._datagrams = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._datagrams.bind(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.udp_port: int = self._datagrams.getsockname()[1]
        self.sent = 0
        """Bytes, over both transports."""
        self._threads = [
            threading.Thread(target=self._accept),
            threading.Thread(target=self._answer_datagrams),
        ]
        for each in (self._listener, self._datagrams):
            each.settimeout(0.05)
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        self._ends.set()
        for thread in self._threads:
            thread.join()
        self._listener.close()
        self._datagrams.close()

    def _accept(self) -> None:
        talks = []
        while not self._ends.is_set():
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                talks.append(threading.Thread(target=self._talk, args=(connection,)))
                talks[-1].start()
        for talk in talks:
            talk.join()

    def _talk(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.settimeout(0.05)
            while not self._ends.is_set():
                with suppress(TimeoutError):
                    handshake = connection.recv(17)
                    if not handshake:
                        return
                    flood = self._flood_of(handshake).value
                    break
            data = b"\1"
            while not self._ends.is_set():
                with suppress(TimeoutError):
                    data = data[connection.send(data) :] or flood
                    self.sent += 1

    def _flood_of(self, handshake: bytes) -> Flood:
        if self._flood is not None:
            return self._flood
        with self._lock:
            kinds = list(Flood)
            return self._floods.setdefault(handshake, kinds[len(self._floods) % len(kinds)])

    def _answer_datagrams(self) -> None:
        device = None
        while not self._ends.is_set():
            with suppress(OSError):
                _, device = self._datagrams.recvfrom(65_535)
                self._datagrams.setblocking(False)
            if device is not None:
                with suppress(OSError):
                    self._datagrams.sendto(self._datagram_flood.value, device)
                    self.sent += 1


@contextmanager
def flooding_server(
    flood: Flood | None = Flood.RIGHT_ACKS,
    datagrams: DatagramFlood = DatagramFlood.WRONG_ANSWERS,
) -> Iterator[FloodingServer]:
    """With a ``flood`` of None each device has another one, in turn."""
    server = FloodingServer(flood, datagrams)
    try:
        yield server
    finally:
        server.close()


_PROGRAM = """
import atexit, pathlib, sys
peak = pathlib.Path(sys.argv.pop(1))
def note_peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    peak.write_text(next(line.split()[1] for line in lines if line.startswith("VmHWM")))
atexit.register(note_peak)
from teltonika.cli.main import main
main()
"""
"""`teltonika`, that says in a file how many KiB it had. What the system says of a child in the end
is at least what its parent had when it forked."""


class Ended(msgspec.Struct):
    """What a program left."""

    exit_code: int
    """Negative: the signal that ended it; -9 where it did not end in time."""
    output: str
    complaints: str
    peak_mib: float
    """The most memory that it had, resident."""


def run_to_its_end(folder: Path, *arguments: str, timeout_s: float) -> Ended:
    """Run `teltonika` with these arguments; what takes longer is killed."""
    peak = folder / "peak"
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        command = [sys.executable, "-c", _PROGRAM, str(peak), *arguments]
        with subprocess.Popen(command, stdout=out, stderr=err, stdin=subprocess.DEVNULL) as process:
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
    return Ended(
        process.returncode,
        (folder / "out").read_text(errors="replace"),
        (folder / "err").read_text(errors="replace"),
        int(peak.read_text()) / 1024 if peak.exists() else 0.0,
    )
