"""Decode: packets to records, one thread, CRC checked, beside a bare `struct` loop.

The bare loop is one precompiled `Struct.unpack_from` and one dict a record over the same bytes,
with the layout known beforehand and nothing checked: what Python can hardly do better. It is for
W1 only, the workload whose layout one `Struct` holds.
"""

import struct
import time
from collections.abc import Callable

from benchmarks.workloads import WORKLOADS, Workload
from teltonika.codecs import decode_packet

_HEADER_SIZE = 10  # preamble, length, codec id, number of data 1


def bare_loop(workload: Workload, packets: list[bytes]) -> None:
    """W1's records as dicts of IO values, unchecked."""
    groups = "".join(
        f"x{('B' + code) * workload.widths.count(width)}"
        for width, code in ((1, "B"), (2, "H"), (4, "I"), (8, "Q"))
    )
    layout = struct.Struct(f">QBiihHBHBB{groups}")
    unpack_from, size = layout.unpack_from, layout.size
    starts = range(_HEADER_SIZE, _HEADER_SIZE + workload.records_per_packet * size, size)
    for packet in packets:
        for start in starts:
            fields = unpack_from(packet, start)
            dict(zip(fields[10::2], fields[11::2], strict=True))


def to_records(workload: Workload, packets: list[bytes]) -> None:
    for packet in packets:
        decode_packet(packet)


def to_values(workload: Workload, packets: list[bytes]) -> None:
    for packet in packets:
        for record in decode_packet(packet).records:
            record.io.by_id()


def seconds(
    function: Callable[[Workload, list[bytes]], None], workload: Workload, packets: list[bytes]
) -> float:
    start = time.perf_counter()
    function(workload, packets)
    return time.perf_counter() - start


def measure(records: int, seed: int) -> dict[str, float]:
    """Microseconds a record, of one round; the caller interleaves and repeats rounds."""
    results = {}
    for workload in WORKLOADS:
        packets = workload.packets(records // workload.records_per_packet, seed)
        count = len(packets) * workload.records_per_packet
        contenders = {"to records": to_records, "every IO value read": to_values}
        if workload.name == "W1":
            contenders = {"bare loop": bare_loop, **contenders}
        for name, function in contenders.items():
            results[f"{workload.name} {name}"] = seconds(function, workload, packets) / count * 1e6
    return results
