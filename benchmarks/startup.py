"""How long a command takes that has next to nothing to do, beside Python that has nothing to do."""

import subprocess
import sys
import sysconfig
from pathlib import Path
from time import perf_counter

from teltonika.codecs import encode_imei

_TELTONIKA = str(Path(sysconfig.get_path("scripts")) / "teltonika")
_HEX = encode_imei("356307042441013").hex()
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "teltonika --help": [_TELTONIKA, "--help"],
    "teltonika decode HEX": [_TELTONIKA, "decode", _HEX],
    "teltonika decode --json HEX": [_TELTONIKA, "decode", "--json", _HEX],
}


def measure() -> dict[str, float]:
    """Seconds of each command, one after the other."""
    figures = {}
    for name, command in COMMANDS.items():
        start = perf_counter()
        subprocess.run(command, stdout=subprocess.DEVNULL, check=True)
        figures[name] = perf_counter() - start
    return figures
