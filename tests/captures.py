"""The captures of fixtures/pcaps as tests want them: who said what, and what must be found in it.

What a capture expects (`Capture.expected`) is described in fixtures/README.md.
"""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import dpkt

SERVER_PORT = 5027
PCAPS = Path(__file__).parents[1] / "fixtures" / "pcaps"
CAPTURE_NAMES = sorted(path.stem for path in PCAPS.glob("*.pcap"))


@dataclass(frozen=True)
class Payload:
    """What one segment or datagram brought that had not come before."""

    time: float
    """Seconds since 1970-01-01 UTC."""
    data: bytes


@dataclass
class Conversation:
    """One TCP connection, or one UDP exchange; each side's payloads in capture order."""

    transport: str
    device: list[Payload] = field(default_factory=list)
    server: list[Payload] = field(default_factory=list)


@dataclass(frozen=True)
class Capture:
    name: str
    path: Path
    conversations: list[Conversation]
    expected: list[dict[str, Any]]

    def expected_of(self, session: int, sender: str) -> list[dict[str, Any]]:
        """The objects that ``sender`` ("device" or "server") sent in a conversation."""
        return [o for o in self.expected if o["session"] == session and o["from"] == sender]


def load_capture(name: str) -> Capture:
    """Raises ValueError for a TCP stream with a hole in it: none of ours has one."""
    path = PCAPS / f"{name}.pcap"
    expected = json.loads(path.with_suffix(".json").read_text())
    return Capture(name, path, read_conversations(path), expected)


def read_frames(path: Path) -> list[tuple[float, bytes]]:
    with path.open("rb") as file:
        return list(dpkt.pcap.Reader(file))


def read_conversations(path: Path) -> list[Conversation]:
    conversations: dict[tuple[bytes, int], Conversation] = {}
    next_seq: dict[tuple[bytes, int, bool], int] = {}
    for time, frame in read_frames(path):
        packet = dpkt.ethernet.Ethernet(frame).data
        segment = packet.data
        from_device = segment.dport == SERVER_PORT
        client = (packet.src, segment.sport) if from_device else (packet.dst, segment.dport)
        transport = "tcp" if isinstance(segment, dpkt.tcp.TCP) else "udp"
        conversation = conversations.setdefault(client, Conversation(transport))
        data = bytes(segment.data)
        if isinstance(segment, dpkt.tcp.TCP):
            data = _unseen(segment, next_seq, (*client, from_device))
        if data:
            (conversation.device if from_device else conversation.server).append(
                Payload(time, data)
            )
    return list(conversations.values())


def _unseen(
    segment: dpkt.tcp.TCP,
    next_seq: dict[tuple[bytes, int, bool], int],
    flow: tuple[bytes, int, bool],
) -> bytes:
    """The bytes of a segment that its direction has not brought before."""
    data = bytes(segment.data)
    if segment.flags & dpkt.tcp.TH_SYN:
        next_seq[flow] = (segment.seq + 1) % 2**32
        return data
    seen = (next_seq[flow] - segment.seq) % 2**32
    if seen >= 2**31:
        raise ValueError(f"bytes are missing before TCP sequence number {segment.seq}")
    unseen = data[seen:]
    closes = bool(segment.flags & dpkt.tcp.TH_FIN)
    next_seq[flow] = (next_seq[flow] + len(unseen) + closes) % 2**32
    return unseen
