"""Decode and encode: packets to records and back, one thread, beside a bare `struct` loop.

The bare loop is one precompiled `Struct.unpack_from` and one dict of IO values a record over the
same bytes, with the layout known beforehand and nothing checked: what Python can hardly do better.
"""

import struct
import time
from collections.abc import Callable
from functools import partial

from benchmarks.workloads import VARIABLE_SIZE, WORKLOADS, Workload
from teltonika.codecs import AvlPacket, decode_packet, encode_packet

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


def bare_loop(workload: Workload, packets: list[bytes]) -> None:
    """Each record's IO values as a dict, unchecked."""
    layout = _bare_layout(workload)
    unpack_from, size = layout.unpack_from, layout.size
    first = 10 if workload.codec.has_generation_type else 9
    starts = range(_HEADER_SIZE, _HEADER_SIZE + workload.records_per_packet * size, size)
    for packet in packets:
        for start in starts:
            fields = unpack_from(packet, start)
            dict(zip(fields[first::2], fields[first + 1 :: 2], strict=True))


def to_records(_: Workload, packets: list[bytes]) -> None:
    for packet in packets:
        decode_packet(packet)


def to_values(_: Workload, packets: list[bytes]) -> None:
    for packet in packets:
        for record in _decoded(packet).records:
            record.io.by_id()


def bare_pack(workload: Workload, packets: list[bytes]) -> None:
    """The fields of one record, packed again and again: none is looked at."""
    layout = _bare_layout(workload)
    pack, fields = layout.pack, layout.unpack_from(packets[0], _HEADER_SIZE)
    for _ in range(len(packets) * workload.records_per_packet):
        pack(*fields)


def to_packets(workload: Workload, decoded: list[AvlPacket]) -> None:
    for packet in decoded:
        encode_packet(workload.codec, packet.records)


def _decoded(packet: bytes) -> AvlPacket:
    decoded = decode_packet(packet)
    assert isinstance(decoded, AvlPacket)
    return decoded


def measure(records: int, seed: int) -> dict[str, dict[str, float]]:
    """Microseconds a record of each workload's contenders, of one round; the caller interleaves
    and repeats rounds."""
    results = {}
    for workload in WORKLOADS:
        packets = workload.packets(records // workload.records_per_packet, seed)
        decoded = [_decoded(packet) for packet in packets]
        contenders: dict[str, Callable[[], None]] = {
            "bare loop": partial(bare_loop, workload, packets),
            "to records": partial(to_records, workload, packets),
            "to records, every IO value read": partial(to_values, workload, packets),
            "bare pack": partial(bare_pack, workload, packets),
            "to packets": partial(to_packets, workload, decoded),
        }
        count = len(packets) * workload.records_per_packet
        results[workload.name] = {
            name: _seconds(contender) / count * 1e6 for name, contender in contenders.items()
        }
    return results


BESIDE = {
    "to records": "bare loop",
    "to records, every IO value read": "bare loop",
    "to packets": "bare pack",
}
"""What each is a ratio to."""


def _seconds(function: Callable[[], None]) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start
