"""A car that parks and drives on when it is told to, whatever else it would do."""

from math import ceil

from teltonika.emulator.mover import Mover

BRAKING = 2.0
"""m/s^2, at most, that are added to what the car does of itself."""
SETTLING_S = 3.0
"""From the standstill until the ignition is off."""
MAX_WAIT_S = 3_600
"""Of a car that was told to drive and does not want to, so much is skipped at most."""

_STEP_S = 0.5


class Chauffeur:
    """A `Mover` that drives ``mover`` by slowing its time down, down to nothing.

    So the car comes to rest and sets off again on its own road, and place, speed and odometer go
    on agreeing with each other.
    """

    __slots__ = ("_mover", "_pace", "_parking", "_stood_s", "_trip_before_m")

    def __init__(self, mover: Mover) -> None:
        self._mover = mover
        self._pace = 1.0  # of the mover's time, 0 to 1
        self._parking = False
        self._stood_s = 0.0
        self._trip_before_m = 0.0  # of the mover's trip, driven before this car parked

    @property
    def latitude(self) -> float:
        return self._mover.latitude

    @property
    def longitude(self) -> float:
        return self._mover.longitude

    @property
    def heading(self) -> float:
        return self._mover.heading

    @property
    def speed(self) -> float:
        return self._mover.speed * self._pace

    @property
    def altitude_m(self) -> float:
        return self._mover.altitude_m

    @property
    def ignition(self) -> bool:
        return self._mover.ignition and self._stood_s < SETTLING_S

    @property
    def odometer_m(self) -> float:
        return self._mover.odometer_m

    @property
    def trip_m(self) -> float:
        return self._mover.trip_m - self._trip_before_m

    def park(self) -> None:
        """Brake now, stand, and switch the ignition off, until `go`."""
        self._parking = True

    def go(self) -> None:
        """Drive on, at once, also where the car would have stayed parked a while."""
        self._parking = False
        if not self.ignition:
            self._trip_before_m = self._mover.trip_m
        self._stood_s = 0.0
        for _ in range(MAX_WAIT_S):
            if self._mover.ignition:
                return
            self._move(1.0)

    def drive(self, seconds: float) -> None:
        """Move on by ``seconds``, above 0."""
        if self._pace == 1 and not self._parking:
            self._move(seconds)
            return
        steps = ceil(seconds / _STEP_S)
        for _ in range(steps):
            self._step(seconds / steps)

    def _step(self, seconds: float) -> None:
        before, speed = self._pace, self._mover.speed
        change = seconds * BRAKING / max(speed, 1.0)
        if self._parking:
            self._pace = max(0.0, before - change) if speed else 0.0
        else:
            self._pace = min(1.0, before + change)
        if self._parking and self._pace == 0:
            self._stood_s += seconds
        pace = (before + self._pace) / 2
        if pace:
            self._move(pace * seconds)

    def _move(self, seconds: float) -> None:
        trip_m = self._mover.trip_m
        self._mover.drive(seconds)
        if self._mover.trip_m < trip_m:
            self._trip_before_m = 0.0
