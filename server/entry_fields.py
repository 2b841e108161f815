"""Types of fields that several kinds of entries have: CONTRACT, section 1.

What they say of patterns and bounds is for who reads an entry, in `docs/contract/`; nothing is
checked when an entry is written.
"""

from itertools import chain
from typing import Annotated, TypeAlias

import msgspec
from msgspec import Meta

Imei: TypeAlias = Annotated[str, Meta(pattern="^[0-9]{15}$", description="The IMEI: 15 digits.")]
Timestamp: TypeAlias = Annotated[
    str,
    Meta(
        # a device whose clock is broken can be in any year
        pattern=r"^(\d{4}|\+\d{6,9})-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        description="ISO 8601, UTC, with milliseconds.",
        examples=["2019-06-10T10:04:46.000Z"],
    ),
]
Hex: TypeAlias = Annotated[str, Meta(pattern="^([0-9a-f]{2})*$")]


def as_fields(entry: msgspec.Struct) -> dict[str, str]:
    """What stands in Redis for it: its fields by name, all of them text."""
    fields: dict[str, str] = msgspec.to_builtins(entry)
    return fields


def as_arguments(entry: msgspec.Struct) -> tuple[str, ...]:
    """The same as XADD takes it: each name, and its value behind it."""
    return tuple(chain.from_iterable(as_fields(entry).items()))
