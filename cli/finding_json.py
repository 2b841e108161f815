"""Findings as lines of NDJSON that also say where they were found."""

import msgspec

from teltonika.cli.output import write_json
from teltonika.codecs.findings import Finding

_encode = msgspec.json.Encoder().encode


def write_finding(place: msgspec.Struct, finding: Finding) -> None:
    """One object: the fields of ``place``, then those of ``finding``."""
    write_json(_encode(place)[:-1] + b"," + _encode(finding)[1:])
