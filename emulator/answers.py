"""How a device's answers leave it: when, in how many pieces, how often.

The faults are for the server's sake: each is something that its other end has to live with.
"""

from collections import deque
from enum import Enum
from itertools import pairwise
from math import inf

SPLIT_PIECES = 4
SPLIT_PAUSE_S = 0.05
"""Between two pieces: longer than TCP would wait to send them as one."""

MAX_WAITING = 1_000
"""Pieces of answers that wait; a frame that comes to more is dropped."""


class AnswerFault(Enum):
    """What is wrong with the answers. The commands are executed all the same."""

    NONE = "none"
    WITHHOLD = "withhold"
    """They are never sent."""
    SPLIT = "split"
    """Each comes in `SPLIT_PIECES` pieces, with pauses of `SPLIT_PAUSE_S` between them."""
    DOUBLE = "double"
    """Each comes twice."""


class AnswerQueue:
    """Whole frames in, and out again in their order, each ``delay_s`` after it came.

    Times are seconds of any one clock, the caller's.
    """

    __slots__ = ("_delay_s", "_fault", "_pieces", "mid_frame")

    def __init__(self, delay_s: float, fault: AnswerFault) -> None:
        self._delay_s = delay_s
        self._fault = fault
        self._pieces: deque[tuple[float, bytes, bool]] = deque()  # due, bytes, ends its frame
        self.mid_frame = False
        """Whether only a part of a frame was taken: the next bytes written must be its rest."""

    @property
    def due_s(self) -> float:
        """When something is to be written next; infinite where nothing waits."""
        return self._pieces[0][0] if self._pieces else inf

    def add(self, frame: bytes, now_s: float) -> bool:
        """A frame that a command has just called for; whether there was room for it."""
        if len(self._pieces) >= MAX_WAITING:
            return False
        due = now_s + self._delay_s
        match self._fault:
            case AnswerFault.NONE:
                self._pieces.append((due, frame, True))
            case AnswerFault.DOUBLE:
                self._pieces += [(due, frame, True)] * 2
            case AnswerFault.SPLIT:
                cuts = [len(frame) * number // SPLIT_PIECES for number in range(SPLIT_PIECES + 1)]
                for number, (start, end) in enumerate(pairwise(cuts)):
                    piece_due = due + number * SPLIT_PAUSE_S
                    self._pieces.append((piece_due, frame[start:end], end == len(frame)))
            case AnswerFault.WITHHOLD:
                pass
        return True

    def pop(self) -> bytes:
        """What is to be written next. Raises IndexError where nothing waits."""
        _, piece, ends_frame = self._pieces.popleft()
        self.mid_frame = not ends_frame
        return piece

    def clear(self) -> None:
        """The connection is gone: what did not go out on it never will."""
        self._pieces.clear()
        self.mid_frame = False
