"""The ways in which `teltonika decode` prints what it found."""

import sys
from abc import ABC, abstractmethod

import msgspec

from teltonika.cli.output import print_json
from teltonika.codecs.findings import (
    Finding,
    FoundAvlPacket,
    FoundImei,
    FoundRecord,
    found_error,
)
from teltonika.codecs.hextext import HexTextError
from teltonika.codecs.packet_finder import Found


class Output(ABC):
    """Where findings go, one after the other."""

    @abstractmethod
    def show(self, found: Found) -> None:
        """Print it."""

    def show_bad_hex(self, error: HexTextError) -> None:  # noqa: B027 - said on standard error
        """The text stops being hex there."""


def output_of(
    *,
    brief: bool,
    json: bool,
    fields: bool,
    csv: bool,
    names: bool,
    model: str | None,
    lenient: bool,
) -> Output:
    """What the options ask for."""
    if json:
        return _Json(fields=fields, names=names, model=model, lenient=lenient)
    if csv:
        return _Csv(lenient=lenient)
    if brief:
        return _Brief()
    return _Dump(model)


class _Brief(Output):
    """A line for each."""

    def __init__(self) -> None:
        from teltonika.cli.decode_view import FindingLines  # noqa: PLC0415

        self._lines = FindingLines()

    def show(self, found: Found) -> None:
        self._lines.show(found.finding)


class _Dump(Output):
    """A line for each, and its bytes below."""

    def __init__(self, model: str | None) -> None:
        from teltonika.cli.decode_view import FindingLines  # noqa: PLC0415

        self._lines = FindingLines()
        self._model = model

    def show(self, found: Found) -> None:
        from teltonika.cli.annotated_view import print_fields  # noqa: PLC0415
        from teltonika.codecs.annotated_findings import annotate_found  # noqa: PLC0415
        from teltonika.codecs.diagnosis import likely_cause  # noqa: PLC0415
        from teltonika.codecs.findings import FoundError  # noqa: PLC0415

        self._lines.show(found.finding)
        error = found.finding if isinstance(found.finding, FoundError) else None
        print_fields(annotate_found(found, self._model).fields, error)
        if error is not None:
            self._lines.show_cause(likely_cause(found.data, error, found.behind))


class _Json(Output):
    """The objects of the contract."""

    def __init__(self, *, fields: bool, names: bool, model: str | None, lenient: bool) -> None:
        self._fields = fields
        self._names = names
        self._model = model
        self._lenient = lenient

    def show(self, found: Found) -> None:
        if self._lenient:
            from teltonika.codecs.annotated_findings import readable_part  # noqa: PLC0415

            part = readable_part(found)
            if part is not None:
                print_json(self._named(part))
        finding = self._named(found.finding)
        if not self._fields:
            print_json(finding)
            return
        from teltonika.codecs.annotated_findings import annotate_found  # noqa: PLC0415

        fields = [
            _FoundField(
                offset=field.offset,
                length=field.length,
                name=field.name,
                hex=field.hex,
                value=field.value,
                meaning=field.meaning,
            )
            for field in annotate_found(found, self._model).fields
        ]
        print_json(msgspec.to_builtins(finding) | {"fields": fields})

    def show_bad_hex(self, error: HexTextError) -> None:
        print_json(found_error(error, error.offset))

    def _named(self, finding: Finding) -> Finding:
        if not self._names:
            return finding
        from teltonika.codecs.found_names import with_names  # noqa: PLC0415

        return with_names(finding, self._model)


class _FoundField(msgspec.Struct, frozen=True):
    """A `Field` as the contract has it."""

    offset: int
    length: int
    name: str
    hex: str
    value: int | str | None
    meaning: str


class _Csv(Output):
    """The records, each with the IMEI that was said last."""

    _COLUMNS = (
        "imei",
        "codec",
        *(name for name in FoundRecord.__struct_fields__ if name != "io"),
        "io",
    )

    def __init__(self, *, lenient: bool) -> None:
        import csv  # noqa: PLC0415

        self._rows = csv.writer(sys.stdout, lineterminator="\n")
        self._rows.writerow(self._COLUMNS)
        self._imei = ""
        self._lenient = lenient

    def show(self, found: Found) -> None:
        finding = found.finding
        if self._lenient:
            from teltonika.codecs.annotated_findings import readable_part  # noqa: PLC0415

            finding = readable_part(found) or finding
        if isinstance(finding, FoundImei):
            self._imei = finding.imei
        elif isinstance(finding, FoundAvlPacket):
            imei = finding.imei or self._imei
            for record in finding.records:
                self._rows.writerow((imei, finding.codec, *_cells(record)))


def _cells(record: FoundRecord) -> list[object]:
    *fixed, io = msgspec.structs.astuple(record)
    return [*fixed, " ".join(f"{element.id}={element.value}" for element in io)]
