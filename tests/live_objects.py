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
STEPS = 5
"""Of the times, after each of which it is counted: a leak is not let grow until all is slow."""


def alive() -> tuple[int, int]:
    """Objects that the collector knows, and blocks of memory, once what can be freed is."""
    for _ in range(2):  # what the first frees may have kept more
        gc.collect()
    return len(gc.get_objects()), sys.getallocatedblocks()


def growth_of(do: Callable[[], object], warm_up: int = WARM_UP, times: int = TIMES) -> int:
    """The greater of the two growths while ``do`` is called ``times`` times.

    Fewer times, if it is more than `MOST` before.
    """

    def calls() -> Iterator[None]:
        while True:
            do()
            yield

    return growth_of_run(calls(), warm_up, times)


def growth_of_run(run: Iterator[object], warm_up: int = WARM_UP, times: int = TIMES) -> int:
    """The same while ``run`` gives so many more; what it gives is not kept."""
    gc.freeze()  # what is there already need not be looked at again and again
    try:
        _take(run, warm_up)
        before = alive()
        growth = 0
        for _ in range(STEPS):
            _take(run, times // STEPS)
            growth = max(now - then for then, now in zip(before, alive(), strict=True))
            if growth > MOST:
                break
        return growth
    finally:
        gc.unfreeze()


def _take(run: Iterator[object], count: int) -> None:
    taken = sum(1 for _ in islice(run, count))
    assert taken == count, f"the run ended after {taken}"
