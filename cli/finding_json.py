"""Findings as lines of NDJSON that also say where they were found."""

import msgspec

from teltonika.codecs.findings import Finding

_encode = msgspec.json.Encoder().encode


def finding_line(place: msgspec.Struct, finding: Finding) -> str:
    """One object: the fields of ``place``, then those of ``finding``; with its newline."""
    return (_encode(place)[:-1] + b"," + _encode(finding)[1:]).decode() + "\n"
