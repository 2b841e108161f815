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
        "_events",
        "_kept_ms",
        "_next_send_ms",
        "_pace",
        "_paces",
        "_records",
        "_report",
        "_roaming",
        "_start_ms",
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
        self._start_ms = drive.next_timestamp_ms
        self._kept_ms: int | None = None  # when the last record was made
        self._pace = paces.stopped
        self._events = 0  # among the records
        self._draining = False  # a sending has begun, and goes on until nothing waits
        self._next_send_ms = 0.0

    def __len__(self) -> int:
        return len(self._records)

    def __iter__(self) -> "RecordBuffer":
        return self

    def __next__(self) -> AvlRecord:
        if not self._records:
            raise StopIteration
        newest_first = self._paces.newest_first
        record = self._records.pop() if newest_first else self._records.popleft()
        self._events -= _is_event(record)
        return record

    @property
    def next_ms(self) -> int:
        """When the drive's next record is made."""
        return self.drive.next_timestamp_ms - self._start_ms

    @property
    def next_look_ms(self) -> float:
        """When there may be something to record or to send, and not before."""
        return min(self.next_ms, self._next_send_ms) if self._records else self.next_ms

    def advance(self, now_ms: float, *, asleep: bool = False) -> None:
        """Let the vehicle drive on until ``now_ms``; what it does asleep is not recorded."""
        while (at_ms := self.next_ms) <= now_ms:
            record = next(self.drive)
            if not asleep:
                self._look_at(record, at_ms)

    def is_due(self, now_ms: float) -> bool:
        """Whether a packet is to be sent now."""
        if not self._records:
            if self._draining:
                self._draining = False
                self._next_send_ms = now_ms + self._pace.send_period_s * 1000
            return False
        self._draining = self._draining or self._events > 0 or now_ms >= self._next_send_ms
        return self._draining

    def clear(self) -> int:
        """Forget what waits; how many records that were."""
        count = len(self._records)
        self._records.clear()
        self._events = 0
        return count

    def _look_at(self, record: AvlRecord, at_ms: int) -> None:
        self._pace = self._pace_now()
        period_ms = self._pace.record_period_s * 1000
        is_event = _is_event(record)
        if not is_event and self._kept_ms is not None and at_ms < self._kept_ms + period_ms:
            return
        self._kept_ms = at_ms
        self._events += is_event
        self._records.append(record)
        if len(self._records) > self._paces.buffer_size:
            self._events -= _is_event(self._records.popleft())
            self._report.records_overwritten += 1

    def _pace_now(self) -> Pace:
        """By the vehicle, not by a record: without a GNSS fix that says a speed of 0."""
        if self._roaming:
            return self._paces.roaming
        return self._paces.moving if self.drive.vehicle.speed > 0 else self._paces.stopped


def _is_event(record: AvlRecord) -> bool:
    return record.event_io_id != 0
