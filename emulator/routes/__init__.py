"""Routes from files: reading them, the line on the ellipsoid, and what drives along it."""

from teltonika.emulator.routes.errors import RouteError
from teltonika.emulator.routes.read import read_points
from teltonika.emulator.routes.route import Route, RouteOffset
from teltonika.emulator.routes.traveller import Traveller

__all__ = ["Route", "RouteError", "RouteOffset", "Traveller", "read_points"]
