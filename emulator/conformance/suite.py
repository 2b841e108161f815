"""All the cases, in the order in which they run."""

from collections.abc import Sequence

from teltonika.emulator.conformance.case import Group
from teltonika.emulator.conformance.cases import (
    acknowledgement,
    commands,
    documented,
    framing,
    handshake,
    limits,
    patience,
    records,
    udp,
)

SUITE: tuple[Group, ...] = (
    handshake.GROUP,
    documented.GROUP,
    acknowledgement.GROUP,
    framing.GROUP,
    records.GROUP,
    commands.GROUP,
    patience.GROUP,
    limits.GROUP,
    udp.GROUP,
)


def select_cases(names: Sequence[str], suite: Sequence[Group] = SUITE) -> tuple[Group, ...]:
    """The cases and groups of these names, in the suite's order; all where there are no names.

    Raises ValueError for a name that is neither.
    """
    known = {name for group in suite for name in (group.name, *(case.name for case in group.cases))}
    for name in names:
        if name not in known:
            groups = ", ".join(group.name for group in suite)
            raise ValueError(f"no case and no group is called {name!r}; the groups are {groups}")
    if not names:
        return tuple(suite)
    chosen = (
        Group(group.name, tuple(c for c in group.cases if {c.name, group.name} & set(names)))
        for group in suite
    )
    return tuple(group for group in chosen if group.cases)
