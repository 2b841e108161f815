"""What can be seen of an instance while it runs, for whoever shows it."""

from collections.abc import Callable
from typing import NamedTuple

from teltonika.server.health import LoopWatch, Readiness
from teltonika.server.metrics_families import Seen


class Sight(NamedTuple):
    look: Callable[[], Seen]
    watch: LoopWatch
    readiness: Readiness
