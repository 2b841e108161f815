"""What a tracker notices of the driving, and makes event records of.

IO ids, values and units are those of "FMB120 Teltonika Data Sending Parameters ID"; all of them
have one byte.
"""

from collections.abc import Iterator
from math import pi
from typing import NamedTuple

from teltonika.codecs import GenerationType, Priority
from teltonika.emulator.geofence import Geofence
from teltonika.emulator.mover import Mover

GEOFENCE_ZONE_01 = 155  # 0 left, 1 entered
GREEN_DRIVING_TYPE = 253  # 1 acceleration, 2 braking, 3 cornering
GREEN_DRIVING_VALUE = 254  # hundredths of g; in cornering hundredths of a radian in a second
OVER_SPEEDING = 255  # km/h, when it begins and when it ends

HARSH_ACCELERATION, HARSH_BRAKING, HARSH_CORNERING = 1, 2, 3

HARSH_ACCELERATION_LIMIT = 3.4
"""m/s^2: 0.35 g."""
HARSH_BRAKING_LIMIT = 3.9
"""m/s^2: 0.4 g."""
HARSH_CORNERING_LIMIT = 3.9
"""m/s^2, across the road."""
MAX_CORNERING_PERIOD_S = 2.0
"""What turned in a longer time may have turned at another speed than those at its ends."""

_G = 9.80665  # m/s^2


class DrivingEvent(NamedTuple):
    """What makes a record an event record."""

    io_id: int
    elements: tuple[tuple[int, int], ...] = ()
    """IO ids and values, each of one byte, that the event brings into its record."""
    priority: Priority = Priority.HIGH
    generation_type: GenerationType = GenerationType.ON_CHANGE


class DrivingWatch:
    """Compares a mover with how it was a record before. It is given one that begins."""

    __slots__ = ("_geofence", "_harsh", "_heading", "_inside", "_over", "_speed", "_speed_limit")

    def __init__(
        self, mover: Mover, *, speed_limit_kmh: float | None, geofence: Geofence | None
    ) -> None:
        self._speed_limit = speed_limit_kmh
        self._over = False
        self._geofence = geofence
        self._inside = geofence is not None and geofence.holds(mover.latitude, mover.longitude)
        self._harsh = 0
        self._speed, self._heading = mover.speed, mover.heading

    def look(self, mover: Mover, seconds: float) -> Iterator[DrivingEvent]:
        """What happened in the ``seconds`` since the last look."""
        yield from self._over_speeding(round(mover.speed * 3.6))
        yield from self._crossing(mover)
        yield from self._harsh_driving(mover, seconds)
        self._speed, self._heading = mover.speed, mover.heading

    def _over_speeding(self, speed_kmh: int) -> Iterator[DrivingEvent]:
        over = self._speed_limit is not None and speed_kmh > self._speed_limit
        if over != self._over:
            self._over = over
            value = min(speed_kmh, 255)
            yield DrivingEvent(
                OVER_SPEEDING,
                ((OVER_SPEEDING, value),),
                generation_type=GenerationType.EVENTUAL,
            )

    def _crossing(self, mover: Mover) -> Iterator[DrivingEvent]:
        if self._geofence is None:
            return
        inside = self._geofence.holds(mover.latitude, mover.longitude)
        if inside != self._inside:
            self._inside = inside
            yield DrivingEvent(
                GEOFENCE_ZONE_01,
                ((GEOFENCE_ZONE_01, int(inside)),),
                generation_type=GenerationType.ON_ENTRANCE if inside else GenerationType.ON_EXIT,
            )

    def _harsh_driving(self, mover: Mover, seconds: float) -> Iterator[DrivingEvent]:
        """When it begins, not again while it lasts."""
        acceleration = (mover.speed - self._speed) / seconds
        turned = abs((mover.heading - self._heading + pi) % (2 * pi) - pi) / seconds
        lateral = turned * min(mover.speed, self._speed)
        harsh, value = 0, 0.0
        if acceleration > HARSH_ACCELERATION_LIMIT:
            harsh, value = HARSH_ACCELERATION, acceleration / _G
        elif acceleration < -HARSH_BRAKING_LIMIT:
            harsh, value = HARSH_BRAKING, -acceleration / _G
        elif lateral > HARSH_CORNERING_LIMIT and seconds <= MAX_CORNERING_PERIOD_S:
            harsh, value = HARSH_CORNERING, turned
        if harsh and harsh != self._harsh:
            hundredths = min(round(value * 100), 255)
            yield DrivingEvent(
                GREEN_DRIVING_TYPE,
                ((GREEN_DRIVING_TYPE, harsh), (GREEN_DRIVING_VALUE, hundredths)),
                generation_type=GenerationType.EVENTUAL,
            )
        self._harsh = harsh
