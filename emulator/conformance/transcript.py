"""What went over the wire in one case: each write and each read, with its time."""

import time
from collections import Counter, deque
from enum import StrEnum

import msgspec

SHOWN_BYTES = 160
"""Of one exchange, to a person; a machine gets them all."""
KEPT_BYTES = 131_072
"""Of a case's beginning, and of its end: of what a server sends without end the middle is left
out."""
_EXCHANGE_BYTES = 64
"""What an exchange counts beside its data, however little that is."""


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
        return shown_bytes(self.data)


def shown_bytes(data: bytes) -> str:
    """In hex; of more than `SHOWN_BYTES` the beginning, the end, and how many there are."""
    if len(data) <= SHOWN_BYTES:
        return data.hex()
    half = SHOWN_BYTES // 2
    return f"{data[:half].hex()}…{data[-half:].hex()} ({len(data):,} bytes)"


class Transcript:
    """Grows while a case runs; all of its connections write into one.

    It keeps `KEPT_BYTES` of the beginning and as many of the end.
    """

    def __init__(self) -> None:
        self._start = time.monotonic()
        self._connections = 0
        self._first: list[Exchange] = []
        self._first_room = KEPT_BYTES
        self._last: deque[Exchange] = deque()
        self._last_room = KEPT_BYTES
        self._left_out = Counter[Speaker]()
        self._last_left_out: Exchange | None = None

    def connected(self) -> int:
        """A number for a connection."""
        self._connections += 1
        return self._connections

    @property
    def duration_s(self) -> float:
        return time.monotonic() - self._start

    @property
    def exchanges(self) -> tuple[Exchange, ...]:
        """In their order. In place of what is left out there is a note that says how much it is."""
        last = self._last_left_out
        if last is None:
            return (*self._first, *self._last)
        sides = " and ".join(
            f"{size:,} bytes from the {speaker}" for speaker, size in sorted(self._left_out.items())
        )
        note = f"{sides} left out"
        gap = Exchange(last.at_s, last.connection, last.speaker, note=note)
        return (*self._first, gap, *self._last)

    def add(self, connection: int, speaker: Speaker, data: bytes = b"", note: str = "") -> None:
        exchange = Exchange(self.duration_s, connection, speaker, data, note)
        size = len(data) + _EXCHANGE_BYTES
        if not self._last and size <= self._first_room:
            self._first.append(exchange)
            self._first_room -= size
            return
        self._last.append(exchange)
        self._last_room -= size
        while self._last_room < 0 and len(self._last) > 1:
            left_out = self._last.popleft()
            self._last_room += len(left_out.data) + _EXCHANGE_BYTES
            self._left_out[left_out.speaker] += len(left_out.data)
            self._last_left_out = left_out
