"""The captures of fixtures/pcaps as tests want them: who said what, and what must be found in it.

What a capture expects (`Capture.expected`) is described in fixtures/README.md.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dpkt

from teltonika.codecs.captures import CapturedSession, read_capture

PCAPS = Path(__file__).parents[1] / "fixtures" / "pcaps"
CAPTURE_NAMES = sorted(path.stem for path in PCAPS.glob("*.pcap"))


@dataclass(frozen=True)
class Capture:
    name: str
    path: Path
    conversations: list[CapturedSession]
    expected: list[dict[str, Any]]

    def expected_of(self, session: int, sender: str) -> list[dict[str, Any]]:
        """The objects that ``sender`` ("device" or "server") sent in a conversation."""
        return [o for o in self.expected if o["session"] == session and o["from"] == sender]


def load_capture(name: str) -> Capture:
    path = PCAPS / f"{name}.pcap"
    expected = json.loads(path.with_suffix(".json").read_text())
    return Capture(name, path, read_conversations(path), expected)


def read_frames(path: Path) -> list[tuple[float, bytes]]:
    with path.open("rb") as file:
        return list(dpkt.pcap.Reader(file))


def read_conversations(path: Path) -> list[CapturedSession]:
    return read_capture(path.read_bytes()).sessions
