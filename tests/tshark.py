"""What Wireshark's own reader finds in a capture, where it is installed."""

import re
import shutil
import subprocess
from pathlib import Path

TSHARK = shutil.which("tshark")
DUMP_ROW = re.compile(r"\t?[0-9A-F]{8}  ")


def tshark_fields(path: Path, *fields: str) -> list[list[str]]:
    """Of each frame the values of ``fields``, several of one joined by commas."""
    assert TSHARK is not None
    command = [TSHARK, "-n", "-r", str(path), "-T", "fields"]
    for protocol in ("ip", "tcp", "udp"):
        command += ["-o", f"{protocol}.check_checksum:TRUE"]
    for name in fields:
        command += ["-e", name]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return [line.split("\t") for line in result.stdout.splitlines()]


def followed(path: Path) -> str:
    """What both ends of the first connection said, as the rows of Wireshark's "Follow Stream"."""
    assert TSHARK is not None
    command = [TSHARK, "-n", "-r", str(path), "-q", "-z", "follow,tcp,hex,0"]
    result = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return "".join(row for row in result.stdout.splitlines(keepends=True) if DUMP_ROW.match(row))
