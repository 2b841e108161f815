"""What a replay saw. In JSON these are the objects of `teltonika replay --json`."""

from typing import Literal

import msgspec

FOUND_BYTES = 1_024
"""Kept of what a server sent in one."""
KEPT_EXTRAS = 1_000
"""Kept of the answers and commands of one session that the capture does not have."""


class Difference(msgspec.Struct, frozen=True):
    """Where the server did not say what it says in the capture."""

    kind: Literal["different", "missing", "unexpected", "command"]
    """``command``: a frame in a command codec that the capture does not have there."""
    offset: int
    """In the server's stream, the captured one for ``different`` and ``missing``; in UDP the
    datagram's number."""
    expected: str | None
    """Hex."""
    found: str | None
    """Hex; of what is longer than `FOUND_BYTES`, the beginning."""


class SessionResult(msgspec.Struct, kw_only=True):
    """One session's."""

    session: int
    """Its index in the capture."""
    transport: str
    imei: str
    captured_imei: str
    sent: int = 0
    """Bytes."""
    of: int = 0
    """How many there are to send."""
    answers: int = 0
    """Handshake bytes and ACKs that the capture has."""
    as_expected: int = 0
    different: int = 0
    missing: int = 0
    unexpected: int = 0
    """Answers that the capture does not have."""
    commands: int = 0
    """Frames in command codecs that came."""
    commands_captured: int = 0
    latency_mean_ms: float = 0.0
    """From the write to its answer; 0 while there was none."""
    latency_max_ms: float = 0.0
    differences: list[Difference] = msgspec.field(default_factory=list)
    left_out: int = 0
    """Answers and commands that the capture does not have and that are not among the differences,
    because there are too many."""
    note: str | None = None
    """What of the session was not played, or ended otherwise than captured."""
    error: str | None = None
    """Why it was not played to its end."""
    ok: bool = False


class ReplayResult(msgspec.Struct, kw_only=True):
    """All sessions'."""

    sessions: int = 0
    """Played."""
    failed: int = 0
    skipped: int = 0
    """That nothing could be made of."""
    sent: int = 0
    answers: int = 0
    as_expected: int = 0
    different: int = 0
    missing: int = 0
    unexpected: int = 0
    commands: int = 0
    duration_s: float = 0.0
    ok: bool = False

    def count(self, result: SessionResult) -> None:
        self.sessions += 1
        self.failed += not result.ok
        for name in (
            "sent",
            "answers",
            "as_expected",
            "different",
            "missing",
            "unexpected",
            "commands",
        ):
            setattr(self, name, getattr(self, name) + getattr(result, name))
