"""Ends connections whose devices are silent too long: before their IMEI, or after it."""

import logging
from collections.abc import Collection
from typing import Protocol

from teltonika.server.counters import Counters

LOOKS = 100
"""At each device, in the silence that ends its connection: it may last by so much of it longer.
Whoever is served waits meanwhile, milliseconds if there are 10,000 to look at."""


class Watched(Protocol):
    """A connection."""

    imei: str | None
    last_activity: float
    """When bytes came last; until the IMEI came: when it connected."""

    @property
    def waits_for_us(self) -> bool:
        """Whether the silence is the server's doing."""

    def say(self, level: int, event: str) -> None: ...

    def abort(self, reason: str) -> None: ...


class SilenceWatch:
    """Over ``sessions``, which its owner keeps; `tick` looks at them."""

    def __init__(
        self,
        sessions: Collection[Watched],
        counters: Counters,
        *,
        handshake_timeout_s: float,
        idle_timeout_s: float,
    ) -> None:
        self._sessions = sessions
        self._counters = counters
        self._handshake_timeout_s = handshake_timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._nameless: set[Watched] = set()  # they had not said their IMEI at the last look
        self._all_at = 0.0

    def opened(self, session: Watched) -> None:
        """A connection is new among them."""
        self._nameless.add(session)

    def closed(self, session: Watched) -> None:
        """It is not among them any more."""
        self._nameless.discard(session)

    def tick(self, now: float) -> None:
        """``now``: by the clock of `last_activity`. Who has no IMEI is looked at each time."""
        everybody = now >= self._all_at
        if everybody:
            self._all_at = now + self._idle_timeout_s / LOOKS
        for session in list(self._sessions if everybody else self._nameless):
            self._look(session, now)
        self._nameless = {session for session in self._nameless if session.imei is None}

    def _look(self, session: Watched, now: float) -> None:
        if session.waits_for_us:
            session.last_activity = now
            return
        silent_s = now - session.last_activity
        if session.imei is None:
            if silent_s > self._handshake_timeout_s:
                self._counters.handshake_timeouts += 1
                session.say(logging.WARNING, "handshake_timeout")
                session.abort("handshake timeout")
        elif silent_s > self._idle_timeout_s:
            self._counters.idle_timeouts += 1
            session.abort("idle timeout")
