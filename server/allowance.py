"""So much a second, and so much more at once: for a peer that may do a lot, but not without end."""

from collections import OrderedDict

BURST_S = 16
"""Seconds of what a device may send that it may send at once."""
MAX_NAMES = 10_000
"""For so many names are allowances kept."""


class Allowance:
    """What was used comes back at ``rate`` a second; at most ``burst`` can be used at once.

    Times are seconds of any one clock.
    """

    __slots__ = ("_burst", "_rate", "_used", "_used_at")

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._used = 0.0
        self._used_at = 0.0

    def use(self, amount: int, now: float) -> float:
        """Use ``amount``, allowed or not; the seconds until all that was used will be allowed."""
        left = self._used - self._rate * (now - self._used_at)
        used = left + amount if left > 0.0 else amount
        self._used_at = now
        if used <= self._burst:
            self._used = used
            return 0.0
        self._used = min(used, 2 * self._burst)  # others may have used it up in a device's name
        return (self._used - self._burst) / self._rate

    def wait_s(self, now: float) -> float:
        """Seconds until everything used so far will have been allowed; 0 if it is already."""
        return max(0.0, self._used - self._rate * (now - self._used_at) - self._burst) / self._rate


class Allowances:
    """An allowance for each name, kept for a while after it was used, so that a device that comes
    again does not begin anew. Names are what strangers say, so only the last ones are kept."""

    def __init__(self, rate: float, burst: float, *, most: int = MAX_NAMES) -> None:
        """A ``rate`` of 0 is no limit."""
        self._rate = rate
        self._burst = burst
        self._most = most
        self._by_name: OrderedDict[str, Allowance] = OrderedDict()
        """The one that was asked for last is the last to be forgotten."""

    def of(self, name: str) -> Allowance | None:
        """The one for ``name``, made if there is none yet; None without a limit."""
        if not self._rate:
            return None
        allowance = self._by_name.get(name)
        if allowance is None:
            allowance = self._by_name[name] = Allowance(self._rate, self._burst)
        self._by_name.move_to_end(name)
        if len(self._by_name) > self._most:
            self._by_name.popitem(last=False)
        return allowance

    def wait_s(self, name: str, now: float) -> float:
        """Seconds until everything used by ``name`` will have been allowed; 0 if it is already."""
        allowance = self._by_name.get(name)
        return 0.0 if allowance is None else allowance.wait_s(now)
