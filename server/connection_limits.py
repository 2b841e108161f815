"""How many connections may be open, in all and from one address; and the descriptors they need."""

import contextlib
import resource

import structlog

from teltonika.server.counters import Counters

log = structlog.get_logger()

RESERVED_DESCRIPTORS = 64
"""For Redis, the listening sockets, logs, and whatever else is not a device's connection."""


class ConnectionLimits:
    """Counts connections in and out. One over a limit is refused, and counted.

    0 means no limit.
    """

    def __init__(self, total: int, per_address: int, counters: Counters) -> None:
        self._total = total
        self._per_address = per_address
        self._counters = counters
        self._open = 0
        self._open_from: dict[str, int] = {}

    @property
    def open(self) -> int:
        """Connections that entered and have not left."""
        return self._open

    def enter(self) -> bool:
        """One more connection; False if there is no room for it."""
        if self._total and self._open >= self._total:
            self._counters.refused_by_max_connections += 1
            return False
        self._open += 1
        return True

    def enter_from(self, address: str) -> bool:
        """It is known where a connection that entered comes from; False if too many do."""
        count = self._open_from.get(address, 0)
        if self._per_address and count >= self._per_address:
            self._counters.refused_by_max_connections_per_address += 1
            return False
        self._open_from[address] = count + 1
        return True

    def leave(self) -> None:
        """A connection that entered is closed."""
        self._open -= 1

    def leave_from(self, address: str) -> None:
        """So is one that entered from there."""
        count = self._open_from[address] - 1
        if count:
            self._open_from[address] = count
        else:
            del self._open_from[address]


def connections_possible(wanted: int) -> int:
    """How many connections this process can have open: ``wanted``, or what the system allows.

    Raises the process's own limit for file descriptors as far as it may.
    """
    possible = raise_descriptor_limit() - RESERVED_DESCRIPTORS
    if wanted and wanted <= possible:
        return wanted
    log.info(
        "max_connections_lowered",
        wanted=wanted or "no limit",
        possible=possible,
        because="of the limit for open files (ulimit -Hn, or LimitNOFILE= of a systemd unit)",
    )
    return max(1, possible)


def raise_descriptor_limit() -> int:
    """Set the soft limit for file descriptors to the hard one; what it is then."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # macOS knows a lower bound than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    return _UNLIMITED if soft == resource.RLIM_INFINITY else soft


_UNLIMITED = 1 << 30
