"""What Wireshark's own reader finds in a capture, where it is installed."""

import shutil
import subprocess
from pathlib import Path

TSHARK = shutil.which("tshark")


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
