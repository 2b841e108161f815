"""A car that drives along a track."""

from random import Random

from teltonika.emulator.routes.timetable import Timetable
from teltonika.emulator.routes.track import Track
from teltonika.emulator.vehicle import hills_m

PARKING_S = 3.0
"""From the end of a route until the ignition is off."""


class Traveller:
    """A `Mover` on ``track``: where it is follows from the time alone, however long the spans.

    It keeps to the timetable ``first`` and then, without end, to ``lap``; with None it parks at
    the end. It begins parked, sets off after a few seconds that ``rng`` chooses, as it does the
    odometer; with ``offset_m`` it begins there instead, under way.
    """

    __slots__ = (
        "_elapsed_s",
        "_first",
        "_ignition_s",
        "_lap",
        "_odometer_at_start_m",
        "_sets_off_s",
        "_started_m",
        "_track",
        "altitude_m",
        "heading",
        "ignition",
        "latitude",
        "longitude",
        "odometer_m",
        "speed",
        "trip_m",
    )

    def __init__(
        self,
        rng: Random,
        track: Track,
        *,
        first: Timetable,
        lap: Timetable | None,
        offset_m: float = 0.0,
    ) -> None:
        self._track = track
        self._first = first
        self._lap = lap
        self._odometer_at_start_m = rng.uniform(1e6, 2e8)
        self._ignition_s = rng.uniform(1.0, 3.0)
        self._sets_off_s = self._ignition_s + rng.uniform(1.0, 3.0)
        if offset_m:
            self._ignition_s = 0.0
            self._sets_off_s = -first.seconds_at(offset_m)
        self._started_m = 0.0
        self._elapsed_s = 0.0
        self.heading = track.at(offset_m).heading
        """Radians clockwise from north, 0 up to 2 pi."""
        self._started_m, self.speed = self._driven(-self._sets_off_s)
        self._arrive()

    def drive(self, seconds: float) -> None:
        """Move on by ``seconds``, above 0."""
        self._elapsed_s += seconds
        self._arrive()

    def _arrive(self) -> None:
        """Be where the timetables say."""
        driving_s = self._elapsed_s - self._sets_off_s
        driven_m, self.speed = self._driven(driving_s)
        along = driven_m % self._track.length_m if self._lap else driven_m
        place = self._track.at(along)
        if self.speed:
            self.heading = place.heading
        self.latitude, self.longitude = place.latitude, place.longitude
        altitude = place.altitude_m
        self.altitude_m = hills_m(self.latitude, self.longitude) if altitude is None else altitude
        self.trip_m = driven_m - self._started_m
        self.odometer_m = self._odometer_at_start_m + self.trip_m
        self.ignition = self._elapsed_s >= self._ignition_s and (
            self._lap is not None or driving_s < self._first.duration_s + PARKING_S
        )

    def _driven(self, seconds: float) -> tuple[float, float]:
        """Metres since the beginning of the route, and m/s, so long after setting off."""
        if seconds <= 0:
            return 0.0, 0.0
        if seconds < self._first.duration_s:
            return self._first.at(seconds)
        if self._lap is None:
            return self._track.length_m, 0.0
        laps, seconds = divmod(seconds - self._first.duration_s, self._lap.duration_s)
        metres, speed = self._lap.at(seconds)
        return (1 + laps) * self._track.length_m + metres, speed
