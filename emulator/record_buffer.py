"""What a tracker recorded and has not sent: filled as time passes, emptied packet by packet."""

from collections import deque

from teltonika.codecs import AvlRecord
from teltonika.emulator.drive import Drive
from teltonika.emulator.profiles.pace import Pace, Paces
from teltonika.emulator.report import DeviceReport


class RecordBuffer:
    """An iterator of the records that wait, which ends where none does, until there are more.

    ``drive`` looks at the vehicle once a second. Kept is what the period of the vehicle's state
    makes due, and each event, at once. Times are milliseconds since the drive's first record;
    ``report`` counts what a full buffer lost.
    """

    __slots__ = (
        "_draining",
        "_kept_ms",
        "_next",
        "_next_send_ms",
        "_pace",
        "_paces",
        "_records",
        "_report",
        "_roaming",
        "_start_ms",
        "_urgent",
        "drive",
    )

    def __init__(
        self, drive: Drive, paces: Paces, report: DeviceReport, *, roaming: bool = False
    ) -> None:
        self.drive = drive
        self._paces = paces
        self._report = report
        self._roaming = roaming
        self._records: deque[AvlRecord] = deque()
        self._next = next(drive)
        self._start_ms = self._next.timestamp_ms
        self._kept_ms: int | None = None  # when the last record was made
        self._pace = paces.stopped
        self._urgent = False  # an event waits
        self._draining = False  # a sending has begun, and goes on until nothing waits
        self._next_send_ms = 0.0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> "RecordBuffer":
        return self

    def __next__(self) -> AvlRecord:
        if not self._records:
            raise StopIteration
        return self._records.pop() if self._paces.newest_first else self._records.popleft()

    def advance(self, now_ms: float, *, asleep: bool = False) -> None:
        """Let the vehicle drive on until ``now_ms``; what it does asleep is not recorded."""
        while (at_ms := self._next.timestamp_ms - self._start_ms) <= now_ms:
            record, self._next = self._next, next(self.drive)
            if not asleep:
                self._look_at(record, at_ms)

    def is_due(self, now_ms: float) -> bool:
        """Whether a packet is to be sent now."""
        if not self._records:
            if self._draining:
                self._draining = self._urgent = False
                self._next_send_ms = now_ms + self._pace.send_period_s * 1000
            return False
        self._draining = self._draining or self._urgent or now_ms >= self._next_send_ms
        return self._draining

    def clear(self) -> int:
        """Forget what waits; how many records that were."""
        count = len(self._records)
        self._records.clear()
        return count

    def _look_at(self, record: AvlRecord, at_ms: int) -> None:
        self._pace = self._pace_of(record)
        period_ms = self._pace.record_period_s * 1000
        is_event = record.event_io_id != 0
        if not is_event and self._kept_ms is not None and at_ms < self._kept_ms + period_ms:
            return
        self._kept_ms = at_ms
        self._urgent = self._urgent or is_event
        self._records.append(record)
        if len(self._records) > self._paces.buffer_size:
            self._records.popleft()
            self._report.records_overwritten += 1

    def _pace_of(self, record: AvlRecord) -> Pace:
        if self._roaming:
            return self._paces.roaming
        return self._paces.moving if record.speed else self._paces.stopped
