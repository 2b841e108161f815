"""How long answers take, in little memory however many there were."""

from math import exp, log

_WIDTH = 0.02
"""Of a bucket, on a logarithmic scale: a quantile is within 1 % of the true one."""
_SMALLEST_S = 1e-6


class LatencyHistogram:
    """Counts durations in buckets that are 2 % wide."""

    __slots__ = ("_buckets", "count", "max_s")

    def __init__(self) -> None:
        self._buckets: dict[int, int] = {}
        self.count = 0
        self.max_s = 0.0

    def add(self, seconds: float) -> None:
        bucket = int(log(max(seconds, _SMALLEST_S) / _SMALLEST_S) / _WIDTH)
        self._buckets[bucket] = self._buckets.get(bucket, 0) + 1
        self.count += 1
        self.max_s = max(self.max_s, seconds)

    def quantile(self, share: float) -> float:
        """The seconds that a ``share`` (0 to 1) of the durations does not exceed; 0 of none."""
        left = share * self.count
        for bucket in sorted(self._buckets):
            left -= self._buckets[bucket]
            if left <= 0:
                return min(self.max_s, _SMALLEST_S * exp((bucket + 0.5) * _WIDTH))
        return self.max_s

    def merge(self, buckets: dict[int, int], max_s: float) -> None:
        """Add what another histogram counted."""
        for bucket, count in buckets.items():
            self._buckets[bucket] = self._buckets.get(bucket, 0) + count
            self.count += count
        self.max_s = max(self.max_s, max_s)

    @property
    def buckets(self) -> dict[int, int]:
        """Bucket to count: for `merge`."""
        return dict(self._buckets)
