"""Which IO elements the records of a device have, where a profile says so."""

from random import Random

from teltonika.codecs import IoElements
from teltonika.codecs.records import FIXED_WIDTHS
from teltonika.emulator.profiles.profile import Element, Profile

_STEPS = 50
"""From one end of its range to the other a value takes so many records, or more."""


class IoLayout:
    """The elements of ``profile``: values that the drive knows from there, others that wander."""

    __slots__ = ("_fixed", "_rng", "_values", "_variable", "event_ids")

    def __init__(self, profile: Profile, rng: Random) -> None:
        self._fixed = [(one, one.width) for one in profile.elements if one.width is not None]
        self._variable = tuple(
            (element.io_id, element.content)
            for element in profile.elements
            if element.width is None
        )
        self.event_ids = profile.event_ids
        """The drive's ids to the model's, of what can be an event there."""
        self._rng = rng
        self._values = {
            element.io_id: rng.randint(element.low, element.high) for element in profile.elements
        }

    def arrange(self, known: dict[int, int], event: dict[int, int]) -> IoElements:
        """``known``: the drive's values by its own ids. ``event``: one-byte elements that this
        record has besides, where the model knows them."""
        counts = dict.fromkeys(FIXED_WIDTHS, 0)
        pairs: list[int] = []
        more = {io_id: value for io_id, value in event.items() if io_id in self.event_ids}
        for element, width in self._fixed:
            value = more.pop(element.io_id, None)
            if value is None:
                value = self._next(element) if element.driven is None else known[element.driven]
            counts[width] += 1
            pairs += (element.io_id, value & ((1 << 8 * width) - 1))
        counts[1] += len(more)
        events = [number for one in more.items() for number in one]
        n1, n2, n4, n8 = counts.values()
        return IoElements((n1, n2, n4, n8), (*events, *pairs), self._variable)

    def _next(self, element: Element) -> int:
        """A value near the one before."""
        span = element.high - element.low
        if not span:
            return element.low
        step = max(1, span // _STEPS)
        value = self._values[element.io_id] + self._rng.randint(-step, step)
        self._values[element.io_id] = value = min(element.high, max(element.low, value))
        return value
