"""How long a command takes that has next to nothing to do, beside Python that has nothing to do."""

import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from time import perf_counter

from benchmarks.figures import Figure
from benchmarks.servers import TELTONIKA
from teltonika.codecs import encode_imei

_HEX = encode_imei("356307042441013").hex()
BARE = "python -c pass"
COMMANDS = {
    BARE: [sys.executable, "-c", "pass"],
    "teltonika --help": [TELTONIKA, "--help"],
    "teltonika decode HEX": [TELTONIKA, "decode", _HEX],
    "teltonika decode --json HEX": [TELTONIKA, "decode", "--json", _HEX],
}


def measure(times: int) -> Iterator[Figure]:
    """One round: the commands in turn, so many times; the median milliseconds of each."""
    taken: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(times):
        for name, command in COMMANDS.items():
            start = perf_counter()
            subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
            taken[name].append(1000 * (perf_counter() - start))
    for name, milliseconds in taken.items():
        yield Figure(name, median(milliseconds), "ms", () if name == BARE else (BARE,))
