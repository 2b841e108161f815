"""Decode and encode: packets to records and back, one thread, beside a bare `struct` loop.

The bare loop is one precompiled `Struct.unpack_from` and one dict of IO values a record over the
same bytes, with the layout known beforehand and nothing checked: what Python can hardly do better.
"""

import struct
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from benchmarks import peers
from benchmarks.figures import Absent, Figure
from benchmarks.workloads import VARIABLE_SIZE, WORKLOADS, Workload
from teltonika.codecs import AvlPacket, decode_packet, encode_packet

UNIT = "records/s"
BARE, RECORDS, VALUES = "bare loop", "to records", "every IO value read"
PACKETS = "to packets"
FASTEST_JAVASCRIPT = "the fastest JavaScript peer"

P = TypeVar("P", bytes, AvlPacket)

_HEADER_SIZE = 10  # preamble, length, codec id, number of data 1
_CODES = {1: "B", 2: "H", 4: "I", 8: "Q"}


def _bare_layout(workload: Workload) -> struct.Struct:
    """A record of the workload; its counts are read over."""
    wide = workload.codec.name != "8"
    identity = "H" if wide else "B"
    count = "xx" if workload.codec.name == "8E" else "x"
    groups = "".join(
        count + (identity + code) * workload.widths.count(width) for width, code in _CODES.items()
    )
    reason = "B" if workload.codec.has_generation_type else ""
    if workload.codec.has_variable_length:
        groups += f"xx{f'Hxx{VARIABLE_SIZE}s' * workload.variable_elements}"
    return struct.Struct(f">QBiihHBH{identity}{reason}{count}{groups}")


def bare_loop(workload: Workload, packets: Sequence[bytes]) -> None:
    """Each record's IO values as a dict, unchecked."""
    layout = _bare_layout(workload)
    unpack_from, size = layout.unpack_from, layout.size
    first = 10 if workload.codec.has_generation_type else 9
    starts = range(_HEADER_SIZE, _HEADER_SIZE + workload.records_per_packet * size, size)
    for packet in packets:
        for start in starts:
            fields = unpack_from(packet, start)
            dict(zip(fields[first::2], fields[first + 1 :: 2], strict=True))


def to_records(_: Workload, packets: Sequence[bytes]) -> None:
    for packet in packets:
        decode_packet(packet)


def to_values(_: Workload, packets: Sequence[bytes]) -> None:
    for packet in packets:
        for record in _decoded(packet).records:
            record.io.by_id()


def bare_pack(workload: Workload, packets: Sequence[bytes]) -> None:
    """The fields of one record, packed again and again: none is looked at."""
    layout = _bare_layout(workload)
    pack, fields = layout.pack, layout.unpack_from(packets[0], _HEADER_SIZE)
    for _ in range(len(packets) * workload.records_per_packet):
        pack(*fields)


def to_packets(workload: Workload, decoded: Sequence[AvlPacket]) -> None:
    for packet in decoded:
        encode_packet(workload.codec, packet.records)


def _decoded(packet: bytes) -> AvlPacket:
    decoded = decode_packet(packet)
    assert isinstance(decoded, AvlPacket)
    return decoded


def measure_decode(records: int, seed: int) -> Iterator[Figure | Absent]:
    """One round: records a second of each workload's contenders, ours and others'."""
    others = peers.measure(records, seed)
    for workload in WORKLOADS:
        packets = workload.packets(records // workload.records_per_packet, seed)
        bare = name_of(workload, BARE)
        javascript = name_of(workload, FASTEST_JAVASCRIPT)
        rates = {
            name: rate for name, rate in others[workload.name].items() if isinstance(rate, float)
        }
        scripts = [rates[name] for name in peers.JAVASCRIPT if name in rates]
        beside = (bare, javascript) if scripts else (bare,)
        yield Figure(bare, _rate(workload, packets, bare_loop), UNIT)
        for name, contender in ((RECORDS, to_records), (VALUES, to_values)):
            yield Figure(name_of(workload, name), _rate(workload, packets, contender), UNIT, beside)
        for name, outcome in others[workload.name].items():
            if isinstance(outcome, float):
                yield Figure(name_of(workload, name), outcome, UNIT, (bare,))
            else:
                yield Absent(name_of(workload, name), outcome)
        if scripts:
            yield Figure(javascript, max(scripts), UNIT, (bare,))


def measure_encode(records: int, seed: int) -> Iterator[Figure]:
    """One round: records a second of each workload."""
    for workload in WORKLOADS:
        packets = workload.packets(records // workload.records_per_packet, seed)
        bare, ours = name_of(workload, "bare pack"), name_of(workload, PACKETS)
        yield Figure(bare, _rate(workload, packets, bare_pack), UNIT)
        yield Figure(ours, _rate(workload, _all_decoded(packets), to_packets), UNIT, (bare,))


def rates(workload: Workload, records: int, seed: int) -> dict[str, float]:
    """Records a second, of our contenders only."""
    packets = workload.packets(records // workload.records_per_packet, seed)
    return {
        RECORDS: _rate(workload, packets, to_records),
        VALUES: _rate(workload, packets, to_values),
        PACKETS: _rate(workload, _all_decoded(packets), to_packets),
    }


def _all_decoded(packets: Sequence[bytes]) -> list[AvlPacket]:
    return [_decoded(packet) for packet in packets]


def name_of(workload: Workload, contender: str) -> str:
    return f"{workload.name}, {contender}"


def _rate(
    workload: Workload, packets: Sequence[P], contender: Callable[[Workload, Sequence[P]], None]
) -> float:
    start = time.perf_counter()
    contender(workload, packets)
    return len(packets) * workload.records_per_packet / (time.perf_counter() - start)
