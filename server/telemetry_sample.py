"""How fast records come and how old they are, from a bounded part of the telemetry stream."""

from collections import Counter, deque
from datetime import datetime
from statistics import quantiles

import msgspec

from teltonika.server.follow import StreamEntry

KEPT = 30
"""Samples that rates and ages are made of: the last minute, with one every two seconds."""


class Ages(msgspec.Struct, frozen=True):
    """How old records were when Redis took them, by the devices' clocks, in seconds.

    Negative where a device's clock is ahead.
    """

    median_s: float
    p95_s: float
    longest_s: float


class NoisyDevice(msgspec.Struct, frozen=True):
    imei: str
    records_per_s: float


class SlowDevice(msgspec.Struct, frozen=True):
    imei: str
    age_s: float
    """Of its newest record."""


class _Sample(msgspec.Struct, frozen=True):
    seconds: float
    weight: float
    """How many records each one that was read stands for."""
    records: Counter[str]
    ages_s: list[float]


class TelemetrySamples:
    """The last `KEPT` samples; `add` one for each look at the stream."""

    def __init__(self) -> None:
        self._samples: deque[_Sample] = deque(maxlen=KEPT)
        self._newest_age_s: dict[str, float] = {}

    def add(self, newest_first: list[StreamEntry], added: int, seconds: float) -> None:
        """Entries of the last ``seconds``: all that were added then, or the newest of them."""
        records: Counter[str] = Counter()
        ages_s: list[float] = []
        newest_age_s: dict[str, float] = {}
        for entry in newest_first:
            imei = entry.fields.get(b"device_id", b"").decode("ascii", "backslashreplace")
            records[imei] += 1
            age_s = _age_s(entry)
            if age_s is not None:
                ages_s.append(age_s)
                newest_age_s.setdefault(imei, age_s)
        weight = max(1.0, added / len(newest_first)) if newest_first else 1.0
        self._samples.append(_Sample(seconds, weight, records, ages_s))
        seen = {imei for sample in self._samples for imei in sample.records}
        kept = self._newest_age_s | newest_age_s
        self._newest_age_s = {imei: age_s for imei, age_s in kept.items() if imei in seen}

    def ages(self) -> Ages | None:
        """Of all records in the samples; None if there are none."""
        ages_s = [age_s for sample in self._samples for age_s in sample.ages_s]
        if not ages_s:
            return None
        if len(ages_s) == 1:
            return Ages(ages_s[0], ages_s[0], ages_s[0])
        percentiles = quantiles(ages_s, n=100, method="inclusive")
        return Ages(round(percentiles[49], 3), round(percentiles[94], 3), max(ages_s))

    def noisiest(self, count: int) -> list[NoisyDevice]:
        """Those that send most, first."""
        seconds = sum(sample.seconds for sample in self._samples)
        records: Counter[str] = Counter()
        for sample in self._samples:
            for imei, number in sample.records.items():
                records[imei] += number * sample.weight  # type: ignore[assignment]  # a float
        return [
            NoisyDevice(imei, round(number / max(seconds, 1e-3), 3))
            for imei, number in records.most_common(count)
        ]

    def slowest(self, count: int) -> list[SlowDevice]:
        """Those whose newest record was oldest, first."""
        by_age = sorted(self._newest_age_s.items(), key=lambda one: one[1], reverse=True)
        return [SlowDevice(imei, age_s) for imei, age_s in by_age[:count]]


def _age_s(entry: StreamEntry) -> float | None:
    """None where no time is written that Python has."""
    try:
        taken_ms = int(entry.entry_id.partition("-")[0])
        recorded = datetime.fromisoformat(entry.fields.get(b"ts", b"").decode("ascii", "replace"))
        return round(taken_ms / 1000 - recorded.timestamp(), 3)
    except (ValueError, OverflowError):
        return None
