"""An entry of the telemetry stream, read back: the other way of `streams`."""

import base64
import re
from collections.abc import Mapping
from typing import Annotated

import msgspec

from teltonika.codecs import IoElement


class EntryError(ValueError):
    """It is none of the server's; the message says why."""


class _Wide(msgspec.Struct, frozen=True):
    """A value that is no JSON number: one of the two."""

    big: str | None = msgspec.field(name="__bigint", default=None)
    buffer: str | None = msgspec.field(name="__buffer_b64", default=None)

    def read(self) -> int | bytes:
        if self.buffer is not None:
            return base64.b64decode(self.buffer)
        if self.big is None or not _BIG.fullmatch(self.big):
            raise ValueError(f"expected a number or bytes, found {self!r}")
        return int(self.big)


class TelemetryRecord(msgspec.Struct, frozen=True):
    """What ``payload`` says of one AVL record."""

    device_id: str
    timestamp: str
    latitude: float
    longitude: float
    altitude: int
    angle: int
    speed: int
    """km/h."""
    satellites: int
    priority: int
    event_io_id: int
    attributes: dict[int, Annotated[int, msgspec.Meta(ge=0)] | _Wide]
    generation_type: int | None = None

    def elements(self) -> dict[int, IoElement]:
        """The IO elements by id. How wide a number was on the wire the stream does not say: 0.

        Raises EntryError.
        """
        try:
            return {io_id: _element(io_id, value) for io_id, value in self.attributes.items()}
        except ValueError as error:
            raise EntryError(f"attributes: {error}") from None


def read_entry(fields: Mapping[bytes, bytes]) -> TelemetryRecord:
    """Raises EntryError for what is no telemetry."""
    try:
        return _decode(fields[b"payload"])
    except KeyError:
        raise EntryError("expected a field payload, found none") from None
    except msgspec.MsgspecError as error:
        raise EntryError(f"payload: {error}") from None


def _element(io_id: int, value: int | _Wide) -> IoElement:
    read = value.read() if isinstance(value, _Wide) else value
    return IoElement.variable(io_id, read) if isinstance(read, bytes) else IoElement(io_id, read, 0)


_BIG = re.compile(r"\d{1,20}", re.ASCII)
_decode = msgspec.json.Decoder(TelemetryRecord).decode
