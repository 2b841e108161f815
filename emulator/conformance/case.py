"""One conformance case: what it expects, why, and the function that finds out."""

from collections.abc import Awaitable, Callable
from enum import StrEnum

import msgspec

from teltonika.emulator.conformance.bench import Bench


class Requirement(StrEnum):
    """What it means when a server does otherwise."""

    REQUIRED = "required"
    """It breaks a sentence of the protocol: the run fails."""
    RECOMMENDED = "recommended"
    """Servers differ here and a device lives with it: a warning."""


class Needs(StrEnum):
    """What a case cannot run without, beyond a TCP port."""

    UDP_PORT = "--udp-port"
    UNKNOWN_IMEI = "--unknown-imei"


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A row of the suite. ``run`` returns when the server did what is expected, and raises
    `Unexpected` with what it did instead."""

    name: str
    requirement: Requirement = Requirement.REQUIRED
    expects: str
    """What the server does, as a sentence without its end."""
    source: str
    """The sentence of the protocol notes that says so, word by word."""
    run: Callable[[Bench], Awaitable[None]]
    needs: Needs | None = None


class Group(msgspec.Struct, frozen=True):
    """The cases of one file."""

    name: str
    cases: tuple[Case, ...]
