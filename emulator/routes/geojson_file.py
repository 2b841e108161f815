"""GeoJSON (RFC 7946): the first LineString, alone or in a Feature or a FeatureCollection."""

from collections.abc import Iterator
from typing import Any, TypeAlias

import msgspec

from teltonika.emulator.routes.errors import RouteError
from teltonika.emulator.routes.points import RoutePoint, parse_time


class LineString(msgspec.Struct, tag_field="type", tag="LineString"):
    coordinates: list[list[float]]
    """Longitude, latitude and, if it likes, altitude of each."""


class _CoordinateProperties(msgspec.Struct):
    times: list[str] | None = None


class _Properties(msgspec.Struct, rename="camel"):
    """Times have no place in the standard: these two are where converters from GPX put them."""

    coord_times: list[str] | None = None
    coordinate_properties: _CoordinateProperties | None = None

    @property
    def times(self) -> list[str] | None:
        if self.coord_times is None and self.coordinate_properties is not None:
            return self.coordinate_properties.times
        return self.coord_times


class _Type(msgspec.Struct):
    type: str


class Feature(msgspec.Struct, tag_field="type", tag="Feature"):
    geometry: msgspec.Raw
    properties: _Properties | None = None


class FeatureCollection(msgspec.Struct, tag_field="type", tag="FeatureCollection"):
    features: list[Feature]


_GeoJson: TypeAlias = LineString | Feature | FeatureCollection


def geojson_points(text: str) -> Iterator[RoutePoint]:
    """The points of the text's first LineString. Raises RouteError with the element."""
    document = _decoded(text, _GeoJson)
    features = document.features if isinstance(document, FeatureCollection) else [document]
    for feature in features:
        if isinstance(feature, LineString):
            yield from _points(feature, None)
            return
        if _decoded(feature.geometry, _Type | None) == _Type("LineString"):
            times = None if feature.properties is None else feature.properties.times
            yield from _points(_decoded(feature.geometry, LineString), times)
            return
    raise RouteError("no LineString")


def _decoded(text: str | msgspec.Raw, of: Any) -> Any:
    try:
        return msgspec.json.decode(text, type=of)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RouteError(f"no GeoJSON of a LineString: {error}") from error


def _points(line: LineString, times: list[str] | None) -> Iterator[RoutePoint]:
    if times is not None and len(times) != len(line.coordinates):
        raise RouteError(f"{len(times)} times for {len(line.coordinates)} coordinates")
    for index, position in enumerate(line.coordinates):
        where = f"coordinates[{index}]"
        if len(position) < 2:
            raise RouteError(f"{where}: {len(position)} numbers, not longitude and latitude")
        try:
            time_s = None if times is None else parse_time(times[index])
        except RouteError as error:
            raise RouteError(f"{where}: {error}") from error
        altitude_m = position[2] if len(position) > 2 else None
        yield RoutePoint(where, position[1], position[0], altitude_m, time_s)
