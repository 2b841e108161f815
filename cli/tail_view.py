"""Entries of the telemetry stream as lines: for a person, or as NDJSON."""

from collections.abc import Sequence

import msgspec

from teltonika.cli.output import write_json
from teltonika.codecs import IoElement, IoMeaning, describe_record
from teltonika.codecs.printable import printable
from teltonika.server.follow import StreamEntry
from teltonika.server.telemetry import TelemetryRecord, read_entry

CHOSEN = (239, 240, 21, 66, 67, 16)
"""IO elements that most models have and most people ask for: ignition, movement, GSM signal,
external voltage, battery voltage, total odometer."""


class TailView:
    """`line` is an entry as a person reads it, `write_json` as a machine does."""

    def __init__(self, chosen: Sequence[int], model: str | None, *, names: bool) -> None:
        self._chosen = tuple(chosen) or CHOSEN
        self._model = model
        self._names = names

    def line(self, entry: StreamEntry) -> str:
        """Raises EntryError for what is no telemetry."""
        record = read_entry(entry.fields)
        elements = record.elements()
        wanted = [record.event_io_id, *self._chosen] if record.event_io_id else self._chosen
        shown = [elements[io_id] for io_id in dict.fromkeys(wanted) if io_id in elements]
        meanings = describe_record(shown, self._model) if self._names else [None] * len(shown)
        values = list(map(_value, shown, meanings))
        if not record.event_io_id:
            event = "-"
        elif record.event_io_id in elements:  # it stands first
            event, *values = values
        else:
            event = f"{record.event_io_id}"
        parts = [
            f"{record.timestamp}  {record.device_id}  {_position(record)}",
            f"{record.speed:3d} km/h  event {event}",
            ", ".join(values),
        ]
        return printable("  ".join(part for part in parts if part))

    def write_json(self, entry: StreamEntry) -> None:
        """The entry's fields and its id. Raises EntryError for what is no telemetry."""
        record = read_entry(entry.fields)
        names: list[IoMeaning] | msgspec.UnsetType = msgspec.UNSET
        if self._names:
            found = describe_record(record.elements().values(), self._model)
            names = [meaning for meaning in found if meaning is not None]
        fields = entry.fields
        write_json(
            _encode(
                _Entry(
                    id=entry.entry_id,
                    ts=_text(fields.get(b"ts")),
                    device_id=record.device_id,
                    codec=_text(fields.get(b"codec")),
                    payload=msgspec.Raw(_on_one_line(fields[b"payload"])),
                    names=names,
                )
            )
        )


class _Entry(msgspec.Struct, frozen=True):
    """An entry as the contract has it, with its payload inside as an object."""

    id: str
    """Its first half is when Redis took it: epoch milliseconds."""
    ts: str
    device_id: str
    codec: str
    payload: msgspec.Raw
    names: list[IoMeaning] | msgspec.UnsetType = msgspec.UNSET


def _value(element: IoElement, meaning: IoMeaning | None) -> str:
    if meaning is not None:
        return f"{meaning.name} {meaning.text}"
    value = element.value.hex() if isinstance(element.value, bytes) else element.value
    return f"{element.id}={value}"


def _position(record: TelemetryRecord) -> str:
    position = f"{record.latitude:10.5f}, {record.longitude:10.5f}"
    return position if record.satellites else f"{position} (no fix)"


def _on_one_line(payload: bytes) -> bytes:
    """JSON as it is, unless somebody has written it on several."""
    return msgspec.json.format(payload, indent=-1) if b"\n" in payload else payload


def _text(field: bytes | None) -> str:
    return (field or b"").decode("utf-8", "replace")


_encode = msgspec.json.Encoder().encode
