"""Findings as a person reads them."""

from functools import singledispatch

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from teltonika.cli.output import printable
from teltonika.codecs import GenerationType, Priority, luhn_valid
from teltonika.codecs.findings import (
    Finding,
    FoundAck,
    FoundAvlPacket,
    FoundError,
    FoundHandshakeAnswer,
    FoundImei,
    FoundMessage,
    FoundPing,
    FoundRecord,
)

console = Console(highlight=False, soft_wrap=True)


def print_finding(finding: Finding) -> None:
    """A line of where and what; under a packet each of its records."""
    where = f"byte {finding.offset}, {finding.length} long: "
    what, style = _describe(finding)
    console.print(Text.assemble((where, "dim"), (what, style)))
    if isinstance(finding, FoundAvlPacket):
        for number, record in enumerate(finding.records, 1):
            _print_record(record, f"record {number} of {len(finding.records)}")


@singledispatch
def _describe(finding: Finding) -> tuple[str, str]:
    """One line, and its style."""
    raise NotImplementedError(type(finding))


@_describe.register
def _(finding: FoundImei) -> tuple[str, str]:
    check = "right" if luhn_valid(finding.imei) else "wrong"
    return f"IMEI {finding.imei}, check digit {check}", "bold green"


@_describe.register
def _(finding: FoundAvlPacket) -> tuple[str, str]:
    count = _records(len(finding.records))
    return f"AVL packet, codec {finding.codec}, {count}, CRC right", "bold green"


@_describe.register
def _(finding: FoundMessage) -> tuple[str, str]:
    imei = f", IMEI {finding.imei}" if finding.imei else ""
    kind = type(finding).__struct_config__.tag
    text = f": {printable(finding.text)}" if finding.hex else ""
    return f"{kind}, codec {finding.codec}{imei}, CRC right{text}", "bold magenta"


@_describe.register
def _(finding: FoundAck) -> tuple[str, str]:
    return f"ACK of {_records(finding.accepted)}", "bold cyan"


@_describe.register
def _(finding: FoundHandshakeAnswer) -> tuple[str, str]:
    return f"answer to the IMEI: {'accepted' if finding.imei_accepted else 'rejected'}", "bold cyan"


@_describe.register
def _(_: FoundPing) -> tuple[str, str]:
    return "ping", "cyan"


@_describe.register
def _(finding: FoundError) -> tuple[str, str]:
    return f"error {finding.error}: {finding.message}", "bold red"


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"


def _print_record(record: FoundRecord, title: str) -> None:
    facts = Table.grid(padding=(0, 2))
    for name, value in (
        ("time", record.timestamp),
        ("position", f"{record.latitude:.7f}, {record.longitude:.7f} (latitude, longitude)"),
        ("altitude", f"{record.altitude} m"),
        ("speed", f"{record.speed} km/h, heading {record.angle}°"),
        ("satellites", f"{record.satellites}{'' if record.satellites else ' (no fix)'}"),
        ("priority", _named(record.priority, Priority)),
        ("event IO", f"{record.event_io_id}{'' if record.event_io_id else ' (none)'}"),
    ):
        facts.add_row(f"    {name}", value)
    if record.generation_type is not None:
        facts.add_row("    generation", _named(record.generation_type, GenerationType))
    elements = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    elements.add_column("    IO id", justify="right")
    elements.add_column("bytes", justify="right")
    elements.add_column("value")
    for element in record.io:
        elements.add_row(str(element.id), str(element.bytes), str(element.value))
    console.print(f"  [bold]{title}[/bold]")
    console.print(facts)
    if record.io:
        console.print(elements)


def _named(value: int, names: type[Priority] | type[GenerationType]) -> str:
    try:
        return f"{value} ({names(value).name.lower().replace('_', ' ')})"
    except ValueError:
        return f"{value} (undocumented)"
