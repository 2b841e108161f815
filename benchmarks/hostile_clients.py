"""Clients that mean harm, in a process of their own: each does one thing as fast as it goes.

What they send is made before, in pieces of about a megabyte, and written by blocking sockets: they
take as little of the processor as they can, so that what the others lose they lose to the server's
work for them. Who is closed comes again at once.
"""

import contextlib
import multiprocessing
import os
import random
import socket
import struct
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle
from multiprocessing.sharedctypes import SynchronizedArray
from multiprocessing.synchronize import Barrier

from benchmarks.workloads import WORKLOADS
from teltonika.codecs import (
    AVL_CODECS,
    AvlRecord,
    IoElement,
    IoElements,
    crc16_ibm,
    encode_imei,
    encode_packet,
    luhn_check_digit,
)
from teltonika.codecs.framing import encode_frame

PIECE_SIZE = 1_000_000
"""Bytes that are handed to the socket at a time."""
LARGE = 60_000
CONNECTS_WITHIN_S = 5.0
PAUSE_S = 0.01
"""After a connection that could not be made or was closed."""
ONE = next(workload for workload in WORKLOADS if workload.records_per_packet == 1)


def _wrong_crc(data: bytes) -> bytes:
    return struct.pack(">II", 0, len(data)) + data + (crc16_ibm(data) ^ 1).to_bytes(4)


def _repeated(data: bytes) -> list[bytes]:
    return [data * max(1, PIECE_SIZE // len(data))]


def _large_record(number: int) -> bytes:
    """A packet of one record, with one long value."""
    value = IoElements.of([IoElement.variable(385, bytes(LARGE))])
    record = AvlRecord(1_760_000_000_000 + 1_000 * number, 0, 0, 0, 0, 0, 0, 0, io=value)
    return encode_packet(AVL_CODECS.by_name("8E"), [record])


def _valid_packets() -> list[bytes]:
    packets = ONE.packets(20_000, 2)
    return [b"".join(packets[begin : begin + 5_000]) for begin in range(0, len(packets), 5_000)]


@dataclass(frozen=True)
class Kind:
    """What one of them does."""

    name: str
    pieces: Callable[[], Sequence[bytes]]
    """Made where they are sent, again and again; the first alone where ``once``."""
    says_imei: bool = True
    once: bool = False
    """It closes then, and comes again."""
    reads: bool = False
    """Whether it reads the answers; else the server is left with them."""


def kinds() -> list[Kind]:
    """All there are."""
    small, large = (b"\x08\x01" + bytes(size) + b"\x01" for size in (38, LARGE))
    text = encode_frame(b"\x0c\x01\x06" + bytes(4) + b"\x01")
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    return [
        Kind("FF", lambda: [b"\xff" * PIECE_SIZE]),
        Kind("wrong CRC, 53 bytes", lambda: _repeated(_wrong_crc(small))),
        Kind("wrong CRC, 60 kB", lambda: _repeated(_wrong_crc(large))),
        Kind("no records", lambda: _repeated(encode_frame(b"\x08\x00\x00"))),
        Kind("empty texts", lambda: _repeated(text)),
        Kind("60 kB records", lambda: list(map(_large_record, range(500))), reads=True),
        Kind("never reading", _valid_packets),
        Kind("HTTP request", lambda: [request], says_imei=False, once=True),
        Kind("random bytes", lambda: [random.Random(1).randbytes(PIECE_SIZE)], says_imei=False),
        Kind("half a handshake", lambda: [encode_imei(imei_of(0))[:9]], says_imei=False, once=True),
    ]


def imei_of(number: int) -> str:
    """None of the honest devices' (`senders.imei_of`)."""
    digits = f"86000000{number:06d}"
    return f"{digits}{luhn_check_digit(digits)}"


@dataclass(frozen=True)
class Counts:
    connected: int
    closed: int
    """By the server."""


class Attack:
    """A process of them that runs."""

    def __init__(self, counts: Sequence[int]) -> None:
        self._counts = counts

    def counts(self) -> Counts:
        """Of all connections so far."""
        return Counts(self._counts[0], self._counts[1])


@contextlib.contextmanager
def attacking(port: int, names: Sequence[str], each: int, niceness: int = 0) -> Iterator[Attack]:
    """``each`` clients of every kind named, until the block is left, in a process of that niceness;
    all that they send is made when it begins."""
    context = multiprocessing.get_context("spawn")
    counts = context.Array("q", 2)
    begun = context.Barrier(2)
    process = context.Process(
        target=_attack,
        args=(port, list(names), each, niceness, counts, begun),
        daemon=True,
    )
    process.start()
    try:
        begun.wait(timeout=120)
        yield Attack(counts.get_obj())
    finally:
        process.kill()
        process.join()


def _attack(
    port: int,
    names: Sequence[str],
    each: int,
    niceness: int,
    counts: "SynchronizedArray[int]",
    begun: Barrier,
) -> None:
    os.nice(niceness)
    chosen = [(kind, kind.pieces()) for kind in kinds() if kind.name in names]
    threads = [
        threading.Thread(target=_run, args=(port, number, kind, pieces, counts), daemon=True)
        for number, (kind, pieces) in enumerate(one for one in chosen for _ in range(each))
    ]
    for thread in threads:
        thread.start()
    begun.wait()
    for thread in threads:
        thread.join()


def _run(
    port: int, number: int, kind: Kind, pieces: Sequence[bytes], counts: "SynchronizedArray[int]"
) -> None:
    pause = threading.Event()
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), CONNECTS_WITHIN_S) as server:
                with counts.get_lock():
                    counts[0] += 1
                server.settimeout(None)
                _send(server, number, kind, pieces)
        except (ConnectionResetError, BrokenPipeError):
            with counts.get_lock():
                counts[1] += 1
            pause.wait(PAUSE_S)
        except OSError:
            pause.wait(PAUSE_S)


def _send(server: socket.socket, number: int, kind: Kind, pieces: Sequence[bytes]) -> None:
    if kind.says_imei:
        server.sendall(encode_imei(imei_of(number)))
    if kind.reads:
        threading.Thread(target=_read, args=(server.dup(),), daemon=True).start()
    for piece in cycle(pieces):
        server.sendall(piece)
        if kind.once:
            return


def _read(server: socket.socket) -> None:
    with server, contextlib.suppress(OSError):
        while server.recv(65_536):
            pass
