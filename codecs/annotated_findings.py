"""Findings to the last byte: each with its fields, and with what can be read of a broken one."""

import msgspec

from teltonika.codecs.annotate import Annotation, Form, annotate
from teltonika.codecs.annotation_reader import Field
from teltonika.codecs.commands import CommandMessage
from teltonika.codecs.findings import (
    FoundAck,
    FoundAvlPacket,
    FoundError,
    FoundHandshakeAnswer,
    FoundImei,
    FoundMessage,
    FoundPing,
    found_packet,
)
from teltonika.codecs.io_meaning import IoMeaning, describe_record
from teltonika.codecs.packet_finder import Found
from teltonika.codecs.udp import Datagram, begins_datagram

_FORMS: dict[tuple[type, str], Form] = {
    (FoundImei, "tcp"): Form.HANDSHAKE,
    (FoundHandshakeAnswer, "tcp"): Form.HANDSHAKE_ANSWER,
    (FoundPing, "tcp"): Form.PING,
    (FoundAck, "tcp"): Form.ACK,
    (FoundAck, "udp"): Form.DATAGRAM_ANSWER,
}


def annotate_found(found: Found, model: str | None = None) -> Annotation:
    """The fields of what was found, named as ``model`` or most models mean them.

    Raises ValueError, with the nearest names, for a model that the dictionary does not have.
    """
    annotation = annotate(found.data, _form(found), found.start)
    fields = _with_meanings(_to_the_end(annotation.fields, found), model)
    return msgspec.structs.replace(annotation, fields=fields)


def readable_part(found: Found) -> FoundAvlPacket | FoundMessage | None:
    """What can be read of a broken packet: its whole records, or its message; None if nothing."""
    if not isinstance(found.finding, FoundError):
        return None
    form = _form(found)
    annotation = annotate(found.data, form, found.start)
    content = annotation.content
    if content is None or not (isinstance(content, CommandMessage) or content.records):
        return None
    datagram = None
    if form is Form.DATAGRAM:
        said = {field.name: field.value for field in annotation.fields[:6]}
        packet_id, avl_packet_id = said["packet id"], said["AVL packet id"]
        assert isinstance(packet_id, int)
        assert isinstance(avl_packet_id, int)
        datagram = Datagram(packet_id, avl_packet_id, str(said["IMEI"]), b"")
    return found_packet(content, found.start, len(found.data), datagram)


def _form(found: Found) -> Form:
    finding, data = found.finding, found.data
    known = _FORMS.get((type(finding), finding.transport))
    if known is not None:
        return known
    if finding.transport == "udp" or begins_datagram(data, 0):
        return Form.DATAGRAM
    if data[:2] == b"\x00\x0f":
        return Form.HANDSHAKE
    return Form.PACKET if data[:1] == b"\x00" else Form.UNKNOWN


def _to_the_end(fields: tuple[Field, ...], found: Found) -> tuple[Field, ...]:
    """The last one as long as what was found, which may be more than the bytes that were kept."""
    missing = found.finding.offset + found.finding.length - found.start - len(found.data)
    if missing <= 0 or not fields or fields[-1].value is not None:
        return fields
    last = msgspec.structs.replace(fields[-1], length=fields[-1].length + missing)
    return (*fields[:-1], last)


def _with_meanings(fields: tuple[Field, ...], model: str | None) -> tuple[Field, ...]:
    """The IO elements with what they are and say; those of a record know of each other."""
    named = list(fields)
    records: dict[int, list[int]] = {}
    for index, field in enumerate(fields):
        if field.element is not None:
            records.setdefault(field.record, []).append(index)
    for indices in records.values():
        elements = [element for index in indices if (element := fields[index].element) is not None]
        for index, meaning in zip(indices, describe_record(elements, model), strict=True):
            if meaning is not None:
                named[index] = msgspec.structs.replace(fields[index], meaning=_said(meaning))
    return tuple(named)


def _said(meaning: IoMeaning) -> str:
    others = f"; on other models {', '.join(meaning.others)}" if meaning.others else ""
    return f"{meaning.name} = {meaning.text}{others}"
