"""Findings as a person reads them."""

from functools import singledispatch

from rich.console import Console
from rich.text import Text

from teltonika.cli.output import printable
from teltonika.codecs import luhn_valid
from teltonika.codecs.findings import (
    Finding,
    FoundAck,
    FoundAvlPacket,
    FoundError,
    FoundHandshakeAnswer,
    FoundImei,
    FoundMessage,
    FoundPing,
)


def console_for_findings() -> Console:
    """Standard output, as wide as it is now; a long line is the terminal's to fold."""
    return Console(highlight=False, soft_wrap=True)


def print_finding(console: Console, finding: Finding) -> None:
    """A line of where and what."""
    where = f"byte {finding.offset}, {finding.length} long: "
    what, style = _describe(finding)
    console.print(Text.assemble((where, "dim"), (what, style)))


def print_cause(console: Console, cause: str) -> None:
    """What likely happened to what is broken, if anything is likely."""
    if cause:
        console.print(Text(f"likely: {cause}", "yellow"))


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
    times = sorted({record.timestamp for record in finding.records})
    when = f", {' to '.join(times[:1] + times[1:][-1:])}" if times else ""
    kind = f"AVL packet, codec {finding.codec}, {count}"
    return f"{kind}{_checked(finding)}{when}", "bold green"


@_describe.register
def _(finding: FoundMessage) -> tuple[str, str]:
    imei = f", IMEI {finding.imei}" if finding.imei and finding.transport == "tcp" else ""
    kind = type(finding).__struct_config__.tag
    text = f": {printable(finding.text)}" if finding.hex else ""
    when = f", {finding.timestamp}" if finding.timestamp else ""
    return f"{kind}, codec {finding.codec}{imei}{_checked(finding)}{when}{text}", "bold magenta"


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


def _checked(finding: FoundAvlPacket | FoundMessage) -> str:
    """In UDP who sends it; in TCP that it came whole."""
    return ", CRC right" if finding.transport == "tcp" else f", UDP, IMEI {finding.imei}"


def _records(count: int) -> str:
    return f"{count} record{'' if count == 1 else 's'}"
