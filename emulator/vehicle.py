"""A car on roads that nobody drew: it parks, starts, accelerates, turns and brakes.

Speed changes only by a driver's accelerations, the heading only by a curve that the speed allows,
and the position only by driving there: so all of them agree with each other.
"""

from enum import Enum, auto
from math import atan2, ceil, cos, pi, radians, sin
from random import Random

from teltonika.emulator.ellipsoid import step, wrapped

MAX_STEP_S = 1.0
"""Longer spans are driven in steps of this at most: a curve is not a straight line."""
MAX_ACCELERATION = 3.0
"""m/s^2, along the road, forwards and in braking. A car brakes harder only in an emergency."""
MAX_LATERAL_ACCELERATION = 3.0
"""m/s^2, across the road. Passengers complain above it."""
ROAM_RADIUS_M = 15_000.0
"""Past this distance from where it began the car turns towards home again."""

VILNIUS = (54.687, 25.280)
"""Where Teltonika's own samples were taken."""

_CRUISING_SPEEDS = (8.3, 13.9, 13.9, 19.4, 25.0)  # m/s: 30, 50, 50, 70 and 90 km/h
_CURVE_SETTLES_S = 0.8  # how long turning the steering wheel takes
_METRES_PER_DEGREE = 111_200.0  # of latitude; near enough to find the way home


def hills_m(latitude: float, longitude: float) -> float:
    """Metres above sea level: gentle hills, the same at the same place for everybody."""
    return 120 + 45 * sin(latitude * 60) + 30 * cos(longitude * 45)


class Manoeuvre(Enum):
    """What the driver is doing."""

    PARKED = auto()
    """Ignition off."""
    STANDING = auto()
    """Ignition on, speed 0: before setting off, at a light, before switching off."""
    ACCELERATING = auto()
    CRUISING = auto()
    BRAKING = auto()
    TURNING = auto()


class Vehicle:
    """One car. `drive` moves it on in time; the attributes say how it is then.

    It drives around ``center``, latitude (-80 to 80) and longitude in degrees. The same ``rng``
    state and the same spans give the same journey.
    """

    __slots__ = (
        "_acceleration",
        "_curvature",
        "_home",
        "_left_s",
        "_rng",
        "_target_curvature",
        "_target_speed",
        "_then",
        "heading",
        "latitude",
        "longitude",
        "manoeuvre",
        "odometer_m",
        "speed",
        "trip_m",
    )

    def __init__(self, rng: Random, center: tuple[float, float] = VILNIUS) -> None:
        self._rng = rng
        self.latitude = center[0] + rng.uniform(-0.04, 0.04)
        """Degrees, north positive."""
        self.longitude = wrapped(center[1] + rng.uniform(-0.07, 0.07))
        """Degrees, east positive."""
        self.heading = rng.uniform(0, 2 * pi)
        """Radians clockwise from north, 0 up to 2 pi; a car that stands keeps it."""
        self.speed = 0.0
        """m/s."""
        self.odometer_m = rng.uniform(1e6, 2e8)
        """Metres driven since the car was built."""
        self.trip_m = 0.0
        """Metres driven since the ignition went on last."""
        self._home = (self.latitude, self.longitude)
        self._acceleration = 0.0
        self._curvature = 0.0  # 1/m: radians of heading for each metre of road, right positive
        self._target_curvature = 0.0
        self._target_speed = 0.0
        # A short first wait: somebody who watches wants to see it set off.
        self.manoeuvre = Manoeuvre.PARKED
        self._then = Manoeuvre.ACCELERATING  # what follows when braking or standing ends
        self._left_s = rng.uniform(1.0, 3.0)  # of a manoeuvre that ends by time

    @property
    def ignition(self) -> bool:
        return self.manoeuvre is not Manoeuvre.PARKED

    @property
    def altitude_m(self) -> float:
        """Metres above sea level."""
        return hills_m(self.latitude, self.longitude)

    def drive(self, seconds: float) -> None:
        """Move on by ``seconds``, above 0."""
        steps = ceil(seconds / MAX_STEP_S)
        for _ in range(steps):
            self._step(seconds / steps)

    def _step(self, seconds: float) -> None:
        speed_before = self.speed
        match self.manoeuvre:
            case Manoeuvre.ACCELERATING:
                self.speed = min(self._target_speed, self.speed + self._acceleration * seconds)
                ended = self.speed == self._target_speed
            case Manoeuvre.BRAKING:
                self.speed = max(self._target_speed, self.speed - self._acceleration * seconds)
                ended = self.speed == self._target_speed
            case _:
                self._left_s -= seconds
                ended = self._left_s <= 0
        distance = (speed_before + self.speed) / 2 * seconds
        if distance:
            self._move(distance, seconds)
        if ended:
            self._next_manoeuvre()

    def _move(self, distance_m: float, seconds: float) -> None:
        settled = min(1.0, seconds / _CURVE_SETTLES_S)
        self._curvature += (self._target_curvature - self._curvature) * settled
        turned = self._curvature * distance_m
        self.latitude, self.longitude = step(
            self.latitude, self.longitude, self.heading + turned / 2, distance_m
        )
        self.heading = (self.heading + turned) % (2 * pi)
        self.odometer_m += distance_m
        self.trip_m += distance_m

    def _next_manoeuvre(self) -> None:
        match self.manoeuvre:
            case Manoeuvre.PARKED:
                self.trip_m = 0.0
                self._stand(self._rng.uniform(1, 3), Manoeuvre.ACCELERATING)
            case Manoeuvre.STANDING if self._then is Manoeuvre.PARKED:
                self.manoeuvre = Manoeuvre.PARKED
                self._left_s = self._rng.uniform(60, 600)
            case Manoeuvre.STANDING | Manoeuvre.TURNING:
                self._accelerate()
            case Manoeuvre.ACCELERATING:
                self._cruise()
            case Manoeuvre.CRUISING:
                self._end_of_the_road()
            case Manoeuvre.BRAKING if self._then is Manoeuvre.TURNING:
                self._turn()
            case Manoeuvre.BRAKING if self._then is Manoeuvre.PARKED:
                self._stand(self._rng.uniform(2, 5), Manoeuvre.PARKED)
            case Manoeuvre.BRAKING:
                self._stand(self._rng.uniform(5, 40), Manoeuvre.ACCELERATING)

    def _stand(self, seconds: float, then: Manoeuvre) -> None:
        self.manoeuvre = Manoeuvre.STANDING
        self._left_s = seconds
        self._then = then
        self._curvature = self._target_curvature = 0.0

    def _accelerate(self) -> None:
        self.manoeuvre = Manoeuvre.ACCELERATING
        self._acceleration = self._rng.uniform(1.0, 2.2)
        limit = self._rng.choice(_CRUISING_SPEEDS) * self._rng.uniform(0.9, 1.05)
        self._target_speed = max(limit, self.speed)
        self._target_curvature = 0.0

    def _cruise(self) -> None:
        """Along a road that bends a little: 0.4 m/s^2 to either side at most."""
        self.manoeuvre = Manoeuvre.CRUISING
        self._left_s = self._rng.uniform(5, 40)
        self._target_curvature = self._rng.uniform(-0.4, 0.4) / self.speed**2

    def _end_of_the_road(self) -> None:
        """A crossing to turn at, a red light, or the end of the trip."""
        chance = self._rng.random()
        if chance < 0.7:
            self._brake(self._rng.uniform(4.5, 7.0), Manoeuvre.TURNING)
        elif chance < 0.95:
            self._brake(0.0, Manoeuvre.ACCELERATING)
        else:
            self._brake(0.0, Manoeuvre.PARKED)

    def _brake(self, target_speed: float, then: Manoeuvre) -> None:
        self.manoeuvre = Manoeuvre.BRAKING
        self._acceleration = self._rng.uniform(1.2, MAX_ACCELERATION)
        self._target_speed = target_speed
        self._target_curvature = 0.0
        self._then = then

    def _turn(self) -> None:
        """Into the side road, at a comfortable 1.5 to 2.5 m/s^2."""
        self.manoeuvre = Manoeuvre.TURNING
        curvature = self._rng.uniform(1.5, 2.5) / self.speed**2
        angle = radians(self._rng.uniform(30, 100))
        self._target_curvature = self._side() * curvature
        self._left_s = angle / (curvature * self.speed)

    def _side(self) -> int:
        """1 to turn right, -1 left: as it comes, but towards home when that is far."""
        north = (self._home[0] - self.latitude) * _METRES_PER_DEGREE
        east = wrapped(self._home[1] - self.longitude) * _METRES_PER_DEGREE
        east *= cos(radians(self.latitude))
        if north * north + east * east < ROAM_RADIUS_M**2:
            return self._rng.choice((-1, 1))
        return 1 if sin(atan2(east, north) - self.heading) > 0 else -1
