"""`teltonika decode pcap`, start and output included, over a capture as large as it is wanted.

Ethernet, IPv4, TCP: every device's connection has its handshake, packets, ACKs and TCP's own
acknowledgements, interleaved with those of the others; frames of HTTP stand between, as on any
server that does more than one thing.
"""

import random
import resource
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.servers import TELTONIKA
from benchmarks.workloads import WORKLOADS, Workload
from teltonika.codecs import consecutive_imeis, encode_imei
from teltonika.codecs.framing import encode_frame

_FIN, _SYN, _PUSH, _ACK = 0x01, 0x02, 0x08, 0x10
_SERVER, _SERVER_PORT = b"\xc0\x00\x02\x0a", 5027
_BEGINS_S = 1_760_000_000
_HEADERS = struct.Struct(">12sHBxHxxHBBxx4s4sHHIIBBHxxxx")
_RECORD = struct.Struct("<IIII")
FILE_HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 1)
_HTTP = b"GET / HTTP/1.1\r\nHost: example.org\r\n\r\n".ljust(500, b"x")


def measure(size: int, devices: int, seed: int) -> Iterator[Figure]:
    """One round: megabytes of capture in a second of processor time."""
    for workload in WORKLOADS:
        rate = size / seconds(workload, size, devices, seed) / 1e6
        yield Figure(f"decode pcap, {workload.name}", rate, "MB/s")


def seconds(workload: Workload, size: int, devices: int, seed: int) -> float:
    """Of processor time."""
    with tempfile.TemporaryDirectory() as directory:
        file = Path(directory) / "capture.pcap"
        with file.open("wb") as output:
            output.writelines(capture(workload, size, devices, seed))
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        command = [TELTONIKA, "decode", "pcap", file]
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


class _Link:
    """One connection: its two ends' sequence numbers."""

    def __init__(self, number: int, server_port: int) -> None:
        self.client = b"\x0a" + number.to_bytes(3)
        self.port = 20_000 + number % 40_000
        self.server_port = server_port
        self.sent = [1_000, 2_000]

    def frame(self, data: bytes, flags: int, *, back: bool = False) -> bytes:
        ends = (self.client, _SERVER, self.port, self.server_port)
        source, destination, source_port, destination_port = (
            (ends[1], ends[0], ends[3], ends[2]) if back else ends
        )
        headers = _HEADERS.pack(
            bytes(12), 0x0800, 0x45, 40 + len(data), 0x4000, 64, 6, source, destination,
            source_port, destination_port, self.sent[back], self.sent[not back],
            0x50, flags, 0xFFFF,
        )  # fmt: skip
        self.sent[back] += len(data) + bool(flags & (_SYN | _FIN))
        return headers + data

    def open(self) -> Iterator[bytes]:
        yield self.frame(b"", _SYN)
        yield self.frame(b"", _SYN | _ACK, back=True)
        yield self.frame(b"", _ACK)

    def exchange(self, said: bytes, answer: bytes) -> Iterator[bytes]:
        yield self.frame(said, _PUSH | _ACK)
        yield self.frame(answer, _PUSH | _ACK, back=True)
        yield self.frame(b"", _ACK)

    def close(self) -> Iterator[bytes]:
        yield self.frame(b"", _FIN | _ACK)
        yield self.frame(b"", _FIN | _ACK, back=True)


def capture(workload: Workload, size: int, devices: int, seed: int = 1) -> Iterator[bytes]:
    """A pcap file of at least ``size`` bytes, in pieces of one frame."""
    written = len(FILE_HEADER)
    yield FILE_HEADER
    for number, frame in enumerate(_frames(workload, devices, seed)):
        second, millisecond = divmod(number, 1_000)
        piece = _RECORD.pack(_BEGINS_S + second, 1_000 * millisecond, len(frame), len(frame))
        written += len(piece) + len(frame)
        yield piece + frame
        if written >= size:
            return


def _frames(workload: Workload, devices: int, seed: int) -> Iterator[bytes]:
    packets = workload.packets(256, seed)
    sent = 0
    ack = workload.records_per_packet.to_bytes(4)
    rng = random.Random(seed)
    imeis = consecutive_imeis("356307042441005", devices)
    number = 0
    while True:
        links = []
        for imei in imeis:
            number += 1
            links.append(_Link(number, _SERVER_PORT))
            yield from links[-1].open()
            yield from links[-1].exchange(encode_imei(imei), b"\x01")
        for _ in range(20):
            for link in links:
                sent += 1
                yield from link.exchange(_unlike_others(rng.choice(packets), sent), ack)
            number += 1
            other = _Link(number, 80)
            yield from other.open()
            yield from other.exchange(_HTTP, _HTTP)
            yield from other.close()
        for link in links:
            yield from link.close()


def _unlike_others(packet: bytes, number: int) -> bytes:
    """``packet`` with another time in its first record: the same one twice would be sent again."""
    data = bytearray(packet[8:-4])
    data[2:10] = (1_000 * (_BEGINS_S + number)).to_bytes(8)
    return encode_frame(bytes(data))
