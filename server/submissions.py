"""Packets that wait to be written, in fair turns: a device that sends much delays itself.

Each submitter's packets keep their order, and submitters take turns. Those that wait for each ACK
come first, as devices do: they have one packet here, and none on its way. Those that send further
packets before, or one that is very large, come after them, in a part of a batch that is theirs
alone, and in one batch at a time: they are served however many others there are, and nobody waits
long because of them.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol

LARGE_BYTES = 32_768
"""A packet over this is never first. Documented ones have at most 1,280, and become 12,000."""
TURN_BYTES = 16_384
"""Of one submitter in a batch, where it has more than one packet."""
MAX_BATCH_BYTES = 262_144
"""Of those that wait for each ACK."""
MAX_BATCH_BYTES_OF_MUCH = 8_192
"""Of the others, in the same batch."""
ALONE = 2
"""They have so many times as much where they have the batch for themselves."""
SUBMISSION_BYTES = 256
"""What a packet takes beside its command."""


class Submitter(Protocol):
    """Who submits a packet: a session, or a device by UDP."""

    @property
    def ended(self) -> bool:
        """Whether nobody waits for the confirmation any more."""

    @property
    def connection(self) -> bytes:
        """Eight bytes that no other connection has; empty where there is none: by UDP."""

    def current(self) -> None:
        """Redis has taken it for its device's newest connection."""

    def confirmed(self, record_count: int, size: int, read_at: float) -> None:
        """Redis has the packet: ``record_count`` records; ``size`` is what `submit` returned."""

    def superseded(self) -> None:
        """The device has a newer connection, to any instance: nothing of this one is stored."""


class Submission:
    """One packet, or a connection that is to be opened, from when it was read to its end."""

    __slots__ = (
        "before",
        "command",
        "following",
        "is_settled",
        "number",
        "read_at",
        "record_count",
        "size",
        "submitter",
        "waits",
    )

    def __init__(
        self,
        submitter: Submitter,
        command: bytes,
        record_count: int | None,
        read_at: float,
        number: int,
        before: "Submission | None",
    ) -> None:
        self.submitter = submitter
        self.command = command
        self.record_count = record_count  # None: no packet, but a connection that was opened
        self.read_at = read_at
        self.number = number
        self.before = before  # on the same connection
        self.following: Submission | None = None  # of the same submitter, and waits, too
        self.waits = False
        self.is_settled = False
        self.size = len(command) + SUBMISSION_BYTES

    def settle(self) -> None:
        """It is confirmed, or nobody waits for it."""
        self.is_settled = True
        self.before = None

    def written(self) -> bytes:
        """The whole command; its last argument depends on what is confirmed by now."""
        if self.record_count is None:
            return self.command
        before = self.before
        number = b"0" if before is None or before.is_settled else b"%d" % before.number
        return b"%b$%d\r\n%b\r\n" % (self.command, len(number), number)


class SubmissionQueue:
    """What waits: the first of each submitter in one of two lines, the rest chained to it."""

    def __init__(
        self,
        *,
        large_bytes: int = LARGE_BYTES,
        turn_bytes: int = TURN_BYTES,
        batch_bytes: int = MAX_BATCH_BYTES,
        batch_bytes_of_much: int = MAX_BATCH_BYTES_OF_MUCH,
    ) -> None:
        self._large_bytes = large_bytes
        self._turn_bytes = turn_bytes
        self._batch_bytes = batch_bytes
        self._batch_bytes_of_much = batch_bytes_of_much
        self._few: deque[Submission] = deque()
        self._many: deque[Submission] = deque()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[Submission]:
        """Each submitter's in their order."""
        for line in (self._few, self._many):
            for first in line:
                waiting: Submission | None = first
                while waiting is not None:
                    yield waiting
                    waiting = waiting.following

    @property
    def oldest_read_at(self) -> float | None:
        """When that was read which waits longest; None if nothing waits."""
        firsts = (first.read_at for line in (self._few, self._many) for first in line)
        return min(firsts, default=None)

    def add(self, submission: Submission, before: Submission | None) -> None:
        """``before``: the submitter's newest until now, if it has any that is unconfirmed."""
        self._count += 1
        submission.waits = True
        if before is not None and before.waits:
            before.following = submission
        elif submission.size <= self._large_bytes and (
            before is None or before.record_count is None
        ):
            self._few.append(submission)
        else:
            self._many.append(submission)

    def has_any(self, *, of_much: bool) -> bool:
        """Whether `take` would give anything."""
        return bool(self._few) or (of_much and bool(self._many))

    def take(self, *, of_much: bool) -> tuple[list[Submission], bool]:
        """A batch, and whether it has any of those that have much; with ``of_much`` it may."""
        taken: list[Submission] = []
        self._take_from(self._few, self._batch_bytes, 0, taken)
        few = len(taken)
        if of_much:
            most_bytes = self._batch_bytes_of_much * (1 if taken else ALONE)
            self._take_from(self._many, most_bytes, self._turn_bytes, taken)
        self._count -= len(taken)
        return taken, len(taken) > few

    def put_back(self, again: Iterable[Submission]) -> None:
        """What was taken, in its order, waits once more, before all that has waited since."""
        self._line_up([*again, *self])

    def drop_ended(self) -> list[Submission]:
        """What waits of submitters that have ended waits no more; it is returned."""
        everything = list(self)
        ended = [submission for submission in everything if submission.submitter.ended]
        self._line_up([one for one in everything if not one.submitter.ended])
        for submission in ended:
            submission.waits = False
        return ended

    def _line_up(self, everything: Sequence[Submission]) -> None:
        self._few.clear()
        self._many.clear()
        self._count = 0
        for submission in everything:
            submission.waits = False
            submission.following = None
        newest: dict[Submitter, Submission] = {}
        for submission in everything:
            self.add(submission, newest.get(submission.submitter))
            newest[submission.submitter] = submission

    def _take_from(
        self,
        line: deque[Submission],
        most_bytes: int,
        turn_bytes: int,
        taken: list[Submission],
    ) -> None:
        """Turns of at least one submission, and at most ``turn_bytes`` where it is more."""
        size = 0
        while line and size < most_bytes:
            submission = line.popleft()
            turn = 0
            while True:
                submission.waits = False
                taken.append(submission)
                turn += submission.size
                following = submission.following
                if following is None:
                    break
                submission.following = None
                if turn + following.size > turn_bytes:
                    self._many.append(following)
                    break
                submission = following
            size += turn
