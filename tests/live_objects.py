"""How many objects are alive, and by how many they grow while something is done again and again.

The collector's own count (`gc.get_objects`) does not have what is declared with ``gc=False``: a
cycle that holds such an object is never freed, and not seen there. Blocks of the interpreter's
allocator are counted whatever holds them, so both are.
"""

import gc
import sys
from collections.abc import Callable, Iterator
from itertools import islice

WARM_UP = 2_000
"""Times before the first count: caches, free lists and counters have their size by then."""
TIMES = 20_000
MOST = 1_000
"""By so many may both counts grow in `TIMES`: what is kept each time is twenty times as much."""


def alive() -> tuple[int, int]:
    """Objects that the collector knows, and blocks of memory, once what can be freed is."""
    while gc.collect():
        pass
    return len(gc.get_objects()), sys.getallocatedblocks()


def growth_of(do: Callable[[], object], warm_up: int = WARM_UP, times: int = TIMES) -> int:
    """The greater of the two growths while ``do`` is called ``times`` times."""

    def calls() -> Iterator[None]:
        while True:
            do()
            yield

    return growth_of_run(calls(), warm_up, times)


def growth_of_run(run: Iterator[object], warm_up: int = WARM_UP, times: int = TIMES) -> int:
    """The same while ``run`` gives so many more; what it gives is not kept."""
    counts = []
    for number in (warm_up, times):
        taken = sum(1 for _ in islice(run, number))
        assert taken == number, f"the run ended after {taken}"
        counts.append(alive())
    return max(after - before for before, after in zip(*counts, strict=True))
