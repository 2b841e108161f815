"""Ports for servers whose port must be known before they run."""

import contextlib
import os
import random
import socket
from pathlib import Path

FIRST_PORT = 10_000
_handed_out: set[int] = set()


def free_port() -> int:
    """A port that nobody listens on.

    It is not one of those that the system gives away: any connection that any process opens
    meanwhile may get one of these. And tests that run beside this one choose among others.
    """
    first = FIRST_PORT + int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    step = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    while True:
        port = random.randrange(first, _first_given_away(), step)
        if port in _handed_out:
            continue
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            _handed_out.add(port)
            return port


def _first_given_away() -> int:
    """Where those begin that the system takes if none is said."""
    return int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
