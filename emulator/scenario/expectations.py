"""What a scenario expects in the end, and whether it came so."""

from collections.abc import Iterator, Sequence
from typing import Annotated

import msgspec

from teltonika.emulator.fleet import FleetCounts

COUNTED = frozenset(
    field.name for field in msgspec.structs.fields(FleetCounts) if field.type is int
)


class Asked(msgspec.Struct, frozen=True):
    """A command that somebody was made to send to a device."""

    imei: str
    seconds: float
    """From the start of the program that asked until it had ended."""
    trouble: str
    """Why there was no answer; empty where there was one."""


class Verdict(msgspec.Struct, frozen=True):
    """One expectation, and what became of it."""

    expectation: str
    passed: bool
    saw: str


class Expectations(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """All of them are to come true. Raises ValueError for a count that there is not."""

    all_acknowledged: bool = True
    """Every record that was sent, of which there is one at least; not looked at where ``refused``
    is expected."""
    no_resend: bool = False
    refused: bool = False
    """No device is let in."""
    command_answered_within: Annotated[float, msgspec.Meta(gt=0)] | None = None
    """Seconds, for each command of an `ask` step."""
    at_least: dict[str, int] = {}
    """Names of the fleet's counts to what they are to reach."""
    at_most: dict[str, int] = {}
    """Names of the fleet's counts to what they must not exceed."""

    def __post_init__(self) -> None:
        for name in (*self.at_least, *self.at_most):
            if name not in COUNTED:
                raise ValueError(f"{name!r} is none of {', '.join(sorted(COUNTED))}")

    def judge(self, counts: FleetCounts, asked: Sequence[Asked]) -> Iterator[Verdict]:
        """In the order of the fields."""
        if self.refused:
            saw = f"{counts.most_connected} let in, {counts.rejections} rejections"
            yield Verdict("no device is let in", not counts.most_connected, saw)
        elif self.all_acknowledged:
            saw = f"{counts.records_acknowledged} of {counts.records_sent}"
            if counts.gave_up:
                saw += f"; {counts.gave_up} devices gave up"
            passed = counts.complete and counts.records_sent > 0
            yield Verdict("all records are acknowledged", passed, saw)
        if self.no_resend:
            saw = f"{counts.packets_resent} packets were sent again"
            yield Verdict("no packet is sent again", not counts.packets_resent, saw)
        if self.command_answered_within is not None:
            yield _answered(asked, self.command_answered_within)
        for name, least in self.at_least.items():
            value: int = getattr(counts, name)
            yield Verdict(f"{name} is {least} or more", value >= least, str(value))
        for name, most in self.at_most.items():
            value = getattr(counts, name)
            yield Verdict(f"{name} is {most} or less", value <= most, str(value))


def _answered(asked: Sequence[Asked], limit_s: float) -> Verdict:
    expectation = f"commands are answered within {limit_s:g} s"
    troubles = [f"{one.imei}: {one.trouble}" for one in asked if one.trouble]
    troubles += [
        f"{one.imei}: after {one.seconds:.2f} s"
        for one in asked
        if not one.trouble and one.seconds > limit_s
    ]
    if troubles:
        return Verdict(expectation, passed=False, saw="; ".join(troubles))
    if not asked:
        return Verdict(expectation, passed=False, saw="no command was asked for")
    slowest = max(one.seconds for one in asked)
    return Verdict(expectation, passed=True, saw=f"{len(asked)}, after {slowest:.2f} s at most")
