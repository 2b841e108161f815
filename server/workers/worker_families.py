"""What the supervisor itself has to tell of its workers."""

from collections.abc import Sequence

import msgspec

from teltonika.server.metrics_families import Family, Kind
from teltonika.server.workers.messages import Reading

WORKER = "worker"
"""The label that every series has where there are several."""


class State(msgspec.Struct, frozen=True):
    """Of one worker, at one moment."""

    number: int
    pid: int | None
    """None between two processes."""
    restarts: int
    readings: tuple[Reading, ...] | None
    """None if it did not answer."""


SUPERVISOR_FAMILIES: tuple[Family[Sequence[State]], ...] = (
    Family(
        "workers",
        Kind.GAUGE,
        "Worker processes that run.",
        lambda states: {(): sum(one.pid is not None for one in states)},
    ),
    Family(
        "worker_up",
        Kind.GAUGE,
        "1 if the worker answered this time; 0 if it hangs or does not run, and its series are not "
        "here.",
        lambda states: {(str(one.number),): one.readings is not None for one in states},
        (WORKER,),
    ),
    Family(
        "worker_restarts_total",
        Kind.COUNTER,
        "How often the worker was started again.",
        lambda states: {(str(one.number),): one.restarts for one in states},
        (WORKER,),
    ),
)
