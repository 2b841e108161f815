"""The views of `teltonika decode` as they were looked at: a text file for each.

python tests/golden_views.py    # write them again, to be read in the diff
"""

from pathlib import Path

from samples import HANDSHAKE, PACKET, SAMPLES, sample
from typer.testing import CliRunner

from teltonika.cli.decode import app

GOLDEN = Path(__file__).parent / "golden" / "decode"
_CODEC16 = sample("codec16").data
_BROKEN = {
    "error-cut": HANDSHAKE + PACKET[:40],
    "error-length-off-by-8": PACKET[:7] + bytes((PACKET[7] + 8,)) + PACKET[8:],
    "error-crc": PACKET[:-1] + b"\x00",
    "error-io-count": sample("codec8-udp").data[:50] + b"\x09" + sample("codec8-udp").data[51:],
    "error-unknown-start": PACKET + b"\xfe\xed" + PACKET,
}
VIEWS: dict[str, tuple[str, ...]] = {
    **{one.name: (one.data.hex(),) for one in SAMPLES},
    **{name: (data.hex(),) for name, data in _BROKEN.items()},
    "session-brief": (
        "--brief",
        (HANDSHAKE + b"\x01" + PACKET + b"\x00\x00\x00\x01\xff" + _CODEC16).hex(),
    ),
    "session-csv": ("--csv", (HANDSHAKE + PACKET + _CODEC16).hex()),
    "model-fmb640": ("--model", "FMB640", sample("codec8e").data.hex()),
    "lenient": ("--lenient", (PACKET + b"\xfe\xed" + PACKET).hex()),
}
"""Name to arguments of `teltonika decode hexdump`."""


def view(name: str) -> str:
    """The view as it is in 80 columns, without the blanks at the ends of its lines."""
    result = CliRunner().invoke(app, VIEWS[name], env={"COLUMNS": "80"})
    lines = [line.rstrip() for line in result.stdout.splitlines()]
    return "\n".join([*lines, f"exit code {result.exit_code}"]) + "\n"


if __name__ == "__main__":
    for name in VIEWS:
        GOLDEN.joinpath(f"{name}.txt").write_text(view(name))
