"""When the parts of a packet are written."""

from math import ceil
from random import Random

from teltonika.emulator.faults.plan import Fault

SPLIT_PIECES = 32
SPLIT_PAUSE_S = 0.002
THROTTLE_BYTES_PER_S = 1_000
THROTTLE_PAUSE_S = 0.05
DELAY_S = (0.1, 1.0)


def shape(
    faults: frozenset[Fault], data: bytes, now_s: float, rng: Random
) -> list[tuple[float, bytes]]:
    """When to write which bytes: all of ``data``, of a cut one the first half, of a dropped one
    none."""
    if Fault.DROP in faults:
        return []
    if Fault.CUT in faults:
        data = data[: len(data) // 2]
    begin_s = now_s + rng.uniform(*DELAY_S) if Fault.DELAY in faults else now_s
    if Fault.THROTTLE in faults:
        size, pause_s = ceil(THROTTLE_BYTES_PER_S * THROTTLE_PAUSE_S), THROTTLE_PAUSE_S
    elif Fault.SPLIT in faults:
        size, pause_s = ceil(len(data) / SPLIT_PIECES), SPLIT_PAUSE_S
    else:
        return [(begin_s, data)]
    return [
        (begin_s + number * pause_s, data[start : start + size])
        for number, start in enumerate(range(0, len(data), size))
    ]
