"""Names and units for the IO elements of what was found."""

import msgspec

from teltonika.codecs.findings import Finding, FoundAvlPacket, FoundIoElement, FoundRecord
from teltonika.codecs.io_meaning import IoMeaning, describe_record
from teltonika.codecs.records import IoElement


def with_names(finding: Finding, model: str | None = None) -> Finding:
    """``finding`` with the names, units, scaled values and labels of its IO elements, as ``model``
    means them; an element that the dictionary does not know stays as it is.

    Raises ValueError, with the nearest names, for a model that the dictionary does not have.
    """
    if not isinstance(finding, FoundAvlPacket):
        return finding
    records = [_named_record(record, model) for record in finding.records]
    return msgspec.structs.replace(finding, records=records)


def _named_record(record: FoundRecord, model: str | None) -> FoundRecord:
    meanings = describe_record((_element(found) for found in record.io), model)
    io = [_named(found, meaning) for found, meaning in zip(record.io, meanings, strict=True)]
    return msgspec.structs.replace(record, io=io)


def _element(found: FoundIoElement) -> IoElement:
    value = bytes.fromhex(found.value) if isinstance(found.value, str) else found.value
    return IoElement(found.id, value, found.bytes)


def _named(found: FoundIoElement, meaning: IoMeaning | None) -> FoundIoElement:
    if meaning is None:
        return found
    return msgspec.structs.replace(
        found,
        name=meaning.name,
        unit=meaning.unit,
        scaled=meaning.scaled,
        label=meaning.label or msgspec.UNSET,
    )
