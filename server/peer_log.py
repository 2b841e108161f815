"""Log lines that peers cause: so many for each address and minute, so that none fills the disk."""

import structlog

from teltonika.server.counters import Counters

log = structlog.get_logger()

PERIOD_S = 60.0
MAX_ADDRESSES = 10_000
"""Past so many in a minute, further ones share what one may cause."""
TOLD_ADDRESSES = 10
"""Of how many it is told by name that they caused more."""
_OTHERS = "others"


class PeerLog:
    """`say` logs, or leaves out and counts; `tick` begins the next minute when it is time."""

    def __init__(self, lines_per_minute: int, counters: Counters) -> None:
        """``lines_per_minute`` for each address; 0 is no limit."""
        self._limit = lines_per_minute
        self._counters = counters
        self._lines: dict[str, int] = {}
        self._began: float | None = None

    def say(self, level: int, address: str, event: str, **fields: object) -> None:
        """``level``: one of the module `logging`."""
        if log.is_enabled_for(level) and self._may_say(address):
            log.log(level, event, **fields)

    def tick(self, now: float) -> None:
        """``now``: seconds of any one clock."""
        if self._began is None:
            self._began = now
        elif now - self._began >= PERIOD_S:
            self._began = now
            self.flush()

    def flush(self) -> None:
        """Tell what was left out, and begin anew."""
        left_out = {
            address: lines - self._limit
            for address, lines in self._lines.items()
            if self._limit and lines > self._limit
        }
        self._lines.clear()
        for address in sorted(left_out, key=left_out.__getitem__, reverse=True)[:TOLD_ADDRESSES]:
            log.warning("log_lines_left_out", address=address, lines=left_out.pop(address))
        if left_out:
            log.warning("log_lines_left_out", addresses=len(left_out), lines=sum(left_out.values()))

    def _may_say(self, address: str) -> bool:
        if address not in self._lines and len(self._lines) >= MAX_ADDRESSES:
            address = _OTHERS
        lines = self._lines[address] = self._lines.get(address, 0) + 1
        if self._limit and lines > self._limit:
            self._counters.log_lines_left_out += 1
            return False
        return True
