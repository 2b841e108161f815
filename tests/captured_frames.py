"""Frames and capture files for tests, written by hand or with dpkt, never with the reader."""

import io
import struct
from collections.abc import Iterable

import dpkt
from dpkt.tcp import TH_ACK, TH_FIN, TH_PUSH, TH_SYN

DEVICE, SERVER = b"\xc6\x33\x64\x07", b"\xc0\x00\x02\x0a"
DEVICE_PORT, SERVER_PORT = 49_152, 5_027
PUSH, FIN, SYN = TH_PUSH | TH_ACK, TH_FIN | TH_ACK, TH_SYN
SYN_ACK = TH_SYN | TH_ACK
PLAIN_ACK = TH_ACK


def tcp(
    data: bytes = b"",
    *,
    seq: int,
    ack: int = 0,
    flags: int = PUSH,
    from_device: bool = True,
    device_port: int = DEVICE_PORT,
) -> bytes:
    """An IPv4 packet with one segment of TCP."""
    ports = (device_port, SERVER_PORT) if from_device else (SERVER_PORT, device_port)
    segment = dpkt.tcp.TCP(
        sport=ports[0],
        dport=ports[1],
        seq=seq % 2**32,
        ack=ack % 2**32,
        flags=flags,
        win=1_000,
        data=data,
    )
    ends = (DEVICE, SERVER) if from_device else (SERVER, DEVICE)
    return bytes(dpkt.ip.IP(src=ends[0], dst=ends[1], p=6, data=segment))


def udp(data: bytes, *, from_device: bool = True) -> bytes:
    ports = (DEVICE_PORT, SERVER_PORT) if from_device else (SERVER_PORT, DEVICE_PORT)
    datagram = dpkt.udp.UDP(sport=ports[0], dport=ports[1], ulen=8 + len(data), data=data)
    ends = (DEVICE, SERVER) if from_device else (SERVER, DEVICE)
    return bytes(dpkt.ip.IP(src=ends[0], dst=ends[1], p=17, data=datagram))


def ipv6(protocol: int, payload: bytes, *, extensions: bytes = b"") -> bytes:
    """An IPv6 packet; ``extensions`` stand before the payload, ``protocol`` names what is first."""
    length = len(extensions) + len(payload)
    return (
        struct.pack(">IHBB", 6 << 28, length, protocol, 64)
        + bytes(15)
        + b"\x01"
        + bytes(15)
        + b"\x02"
        + extensions
        + payload
    )


def ethernet(packet: bytes, *, tags: bytes = b"") -> bytes:
    kind = b"\x08\x00" if packet[0] >> 4 == 4 else b"\x86\xdd"
    return bytes(12) + tags + kind + packet


def pcap(frames: Iterable[bytes], *, link_type: int = 1, begins: float = 1_700_000_000.0) -> bytes:
    """A file with a frame a second."""
    file = io.BytesIO()
    writer = dpkt.pcap.Writer(file, snaplen=65_535, linktype=link_type)
    for number, frame in enumerate(frames):
        writer.writepkt(frame, begins + number)
    return file.getvalue()


def block(kind: int, body: bytes, order: str = "<") -> bytes:
    """A block of pcapng."""
    body += bytes(-len(body) % 4)
    size = struct.pack(f"{order}I", 12 + len(body))
    return struct.pack(f"{order}I", kind) + size + body + size


def section(order: str = "<") -> bytes:
    return block(0x0A0D0D0A, struct.pack(f"{order}IHHq", 0x1A2B3C4D, 1, 0, -1), order)


def interface(link_type: int, *, options: bytes = b"", order: str = "<") -> bytes:
    return block(1, struct.pack(f"{order}HHI", link_type, 0, 0) + options, order)


def packet_block(frame: bytes, *, interface_id: int = 0, ticks: int = 0, order: str = "<") -> bytes:
    head = struct.pack(
        f"{order}IIIII", interface_id, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame)
    )
    return block(6, head + frame, order)
