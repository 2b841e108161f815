"""What went over the wire in one case: each write and each read, with its time."""

import time
from enum import StrEnum

import msgspec

SHOWN_BYTES = 160
"""Of one exchange, to a person; a machine gets them all."""


class Speaker(StrEnum):
    DEVICE = "device"
    SERVER = "server"


class Exchange(msgspec.Struct, frozen=True):
    """Bytes that one side sent, or a word about the connection itself."""

    at_s: float
    """Since the case began."""
    connection: int
    """1 is the case's first."""
    speaker: Speaker
    data: bytes = b""
    note: str = ""
    """Such as ``closed``; with it there are no bytes."""

    def __str__(self) -> str:
        return f"{self.at_s:7.3f} s  #{self.connection} {self.speaker:6}  {self.shown}"

    @property
    def shown(self) -> str:
        """The bytes in hex, the middle of long ones left out."""
        if self.note:
            return f"({self.note})"
        if len(self.data) <= SHOWN_BYTES:
            return self.data.hex()
        half = SHOWN_BYTES // 2
        return f"{self.data[:half].hex()}…{self.data[-half:].hex()} ({len(self.data):,} bytes)"


class Transcript:
    """Grows while a case runs; all of its connections write into one."""

    def __init__(self) -> None:
        self._start = time.monotonic()
        self.exchanges: list[Exchange] = []
        self._connections = 0

    def connected(self) -> int:
        """A number for a connection."""
        self._connections += 1
        return self._connections

    @property
    def duration_s(self) -> float:
        return time.monotonic() - self._start

    def add(self, connection: int, speaker: Speaker, data: bytes = b"", note: str = "") -> None:
        moment = Exchange(self.duration_s, connection, speaker, data, note)
        self.exchanges.append(moment)
