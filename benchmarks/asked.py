"""What speed is asked of the parts, and what a run reached."""

from collections.abc import Sequence

import msgspec

from benchmarks import connections, decode, hostile, ingest
from benchmarks.figures import Line
from benchmarks.workloads import WORKLOADS


class Asked(msgspec.Struct, frozen=True):
    """A bound of a figure, or of its ratio to the one it stands beside."""

    what: str
    part: str
    name: str
    beside: str = ""
    at_least: float = 0.0
    at_most: float = 0.0


class Answer(msgspec.Struct, frozen=True):
    what: str
    asked: str
    reached: str
    met: bool


ASKED = (
    *(
        Asked(
            f"decode {workload.name} to records, beside the fastest JavaScript peer",
            "Decode",
            decode.name_of(workload, decode.RECORDS),
            decode.name_of(workload, decode.FASTEST_JAVASCRIPT),
            at_least=8.0,
        )
        for workload in WORKLOADS
    ),
    *(
        Asked(
            f"decode {workload.name}{what}, beside a bare loop",
            "Decode",
            decode.name_of(workload, contender),
            decode.name_of(workload, decode.BARE),
            at_least=bound,
        )
        for contender, what, bound in (
            (decode.RECORDS, " to records", 0.6),
            (decode.VALUES, ", every IO value read", 0.35),
        )
        for workload in WORKLOADS
    ),
    *(
        Asked(
            f"ingest, {records} a packet, 100 connections, beside the ceiling",
            "Ingest",
            ingest.name_of(workload, 100, ingest.SERVER),
            ingest.name_of(workload, 100, ingest.CEILING),
            at_least=bound,
        )
        for workload, records, bound in (
            (ingest.MANY, "15 records", 0.8),
            (ingest.ONE, "1 record", 0.5),
        )
    ),
    *(
        Asked(
            f"ingest, {records} a packet, 5,000 connections, beside 100",
            "Ingest",
            ingest.name_of(workload, 5_000, ingest.SERVER),
            ingest.name_of(workload, 100, ingest.SERVER),
            at_least=0.85,
        )
        for workload, records in ((ingest.MANY, "15 records"), (ingest.ONE, "1 record"))
    ),
    Asked(
        "server's memory for each of 10,000 idle connections, KiB",
        "Connections",
        connections.memory_name(10_000),
        at_most=8.0,
    ),
    *(
        Asked(
            f"ACK at half load, {records} a packet, p99, ms",
            "ACK latency",
            f"{workload.name}, p99",
            at_most=20.0,
        )
        for workload, records in ((ingest.MANY, "15 records"), (ingest.ONE, "1 record"))
    ),
    *(
        Asked(
            f"honest devices' {what} {hostile.among(connections)} of the worst of {group}, "
            "beside that alone",
            "Hostile",
            hostile.name_of(kind, hostile.among(connections), figure),
            hostile.name_of(kind, hostile.ALONE, figure),
            **bound,
        )
        for group, names in hostile.GROUPS.items()
        for connections, at_least in zip(hostile.HOSTILE, (0.7, 0.4), strict=True)
        for what, figure, bound in (
            ("ACK p99", "p99", {"at_most": 3.0}),
            ("rate", "packets", {"at_least": at_least}),
        )
        for kind in names
    ),
    Asked("/healthz under attack, longest, ms", "Hostile", hostile.HEALTH, at_most=1_000.0),
    Asked(
        f"heartbeat under attack, due every {hostile.HEARTBEAT_INTERVAL_S} s, oldest, s",
        "Hostile",
        hostile.HEARTBEAT,
        at_most=hostile.HEARTBEAT_INTERVAL_S + 1.0,
    ),
)


def answers(lines: Sequence[Line]) -> list[Answer]:
    """Of what was measured; a run of fewer parts, or without a peer, answers less. What is asked of
    several figures is answered by the worst of them."""
    found = {(line.part, line.name): line for line in lines}
    reached: dict[str, tuple[Asked, float]] = {}
    for asked in ASKED:
        line = found.get((asked.part, asked.name))
        if line is None or (asked.beside and (asked.part, asked.beside) not in found):
            continue
        figure = line.ratio_to(asked.beside) if asked.beside else line.median
        if asked.what in reached:
            worst = max if asked.at_most else min
            figure = worst(figure, reached[asked.what][1])
        reached[asked.what] = asked, figure
    return [_answer(asked, figure) for asked, figure in reached.values()]


def _answer(asked: Asked, reached: float) -> Answer:
    sign, bound, met = (
        ("≤", asked.at_most, reached <= asked.at_most)
        if asked.at_most
        else ("≥", asked.at_least, reached >= asked.at_least)
    )
    times = " ×" if asked.beside else ""
    return Answer(asked.what, f"{sign} {bound:g}{times}", f"{reached:.2f}{times}", met)
