"""Teltonika's published sample packets, and packets that tests put together by hand."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from teltonika.codecs import AvlRecord, IoElement, IoElements, crc16_ibm

SAMPLES_FILE = Path(__file__).parents[1] / "fixtures" / "doc_samples.json"
_UDP_HEAD_SIZE = 2 + 2 + 1 + 1 + 2 + 15  # length, packet id, 01, AVL packet id, IMEI length, IMEI


@dataclass(frozen=True)
class Sample:
    """One published packet, and what must be found in it."""

    name: str
    transport: str
    data: bytes
    kind: str
    """``imei``, ``avl``, ``command``, ``response``, ``nack`` or, for a defective one, ``error``."""
    expected: dict[str, Any]

    def __str__(self) -> str:
        return self.name

    @property
    def data_field(self) -> bytes:
        """A UDP datagram's data field: what stands behind the envelope."""
        assert self.transport == "udp"
        return self.data[_UDP_HEAD_SIZE:]

    @property
    def records(self) -> tuple[AvlRecord, ...]:
        """The records as their published values say; nothing of ours decoded them."""
        return tuple(_record(fields) for fields in self.expected["records"])


def _record(fields: dict[str, Any]) -> AvlRecord:
    return AvlRecord(
        timestamp_ms=fields["timestamp_ms"],
        priority=fields["priority"],
        longitude_e7=round(fields["longitude"] * 10**7),
        latitude_e7=round(fields["latitude"] * 10**7),
        altitude=fields["altitude"],
        angle=fields["angle"],
        satellites=fields["satellites"],
        speed=fields["speed"],
        event_io_id=fields["event_io_id"],
        generation_type=fields["generation_type"],
        io=IoElements.of(IoElement(io["id"], io["value"], io["bytes"]) for io in fields["io"]),
    )


def _load() -> tuple[Sample, ...]:
    return tuple(
        Sample(
            name=entry["name"],
            transport=entry["transport"],
            data=bytes.fromhex(entry["hex"]),
            kind=entry["expected"]["kind"],
            expected=entry["expected"],
        )
        for entry in json.loads(SAMPLES_FILE.read_text())["samples"]
    )


SAMPLES = _load()


def of_kind(*kinds: str, transport: str = "tcp") -> list[Sample]:
    return [s for s in SAMPLES if s.kind in kinds and s.transport == transport]


def sample(name: str) -> Sample:
    (found,) = (s for s in SAMPLES if s.name == name)
    return found


def framed(data: bytes, *, crc_change: int = 0) -> bytes:
    """A TCP packet around a data field; its CRC is right unless it is changed (by XOR)."""
    crc = crc16_ibm(data) ^ crc_change
    return bytes(4) + len(data).to_bytes(4) + data + crc.to_bytes(4)


IMEI = "356307042441013"
HANDSHAKE = b"\x00\x0f356307042441013"
PING = b"\xff"
PACKET = sample("codec8-1").data
OTHER_PACKET = sample("codec8e").data
EMPTY_PACKET = framed(b"\x08\x00\x00")
"""A packet of no records: the shortest there is."""
