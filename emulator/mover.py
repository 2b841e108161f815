"""What a tracker can sit in."""

from typing import Protocol


class Mover(Protocol):
    """Something that drives: `drive` moves it on in time; the attributes say how it is then."""

    @property
    def latitude(self) -> float:
        """Degrees, north positive."""

    @property
    def longitude(self) -> float:
        """Degrees, east positive."""

    @property
    def heading(self) -> float:
        """Radians clockwise from north, 0 up to 2 pi; what stands keeps it."""

    @property
    def speed(self) -> float:
        """m/s."""

    @property
    def altitude_m(self) -> float:
        """Above sea level."""

    @property
    def ignition(self) -> bool: ...

    @property
    def odometer_m(self) -> float:
        """Driven since it was built."""

    @property
    def trip_m(self) -> float:
        """Driven since the ignition went on last."""

    def drive(self, seconds: float) -> None:
        """Move on by ``seconds``, above 0."""
