"""The environment variables that the commands know, and those that nobody does."""

from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import Any

import msgspec

from teltonika.cli.lazy_command import lazy_command
from teltonika.cli.main import COMMANDS

PREFIX = "TELTONIKA_"


class UnknownVariable(
    msgspec.Struct, frozen=True, tag_field="kind", tag="unknown_variable", omit_defaults=True
):
    """A variable with our prefix that no option of any command is set by."""

    variable: str
    likely: str | None = None
    """What was meant, if that can be guessed."""


def unknown_variables(names: Iterable[str]) -> list[UnknownVariable]:
    """Those of ``names`` that look like ours and are not."""
    ours = [name for name in names if name.upper().startswith(PREFIX)]
    if not ours:
        return []
    known = set(_known())
    return [
        UnknownVariable(name, _likely(name, known)) for name in sorted(ours) if name not in known
    ]


def _likely(name: str, known: set[str]) -> str | None:
    """Without the prefix, which makes all of them alike."""
    rests = {one.removeprefix(PREFIX) for one in known}
    close = get_close_matches(name.upper().removeprefix(PREFIX), rests, n=1, cutoff=0.7)
    return f"{PREFIX}{close[0]}" if close else None


def _known() -> Iterator[str]:
    for name in COMMANDS:
        yield from _variables_of(lazy_command(name, f"teltonika.cli.{name}"))


def _variables_of(command: Any) -> Iterator[str]:
    for option in command.params:
        yield f"{PREFIX}{option.name.upper()}"
    for sub_command in getattr(command, "commands", {}).values():
        yield from _variables_of(sub_command)
