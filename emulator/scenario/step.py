"""One step of a scenario: what is done, to which devices, and when."""

import re
from enum import Enum
from random import Random
from typing import Annotated

import msgspec

from teltonika.codecs import AVL_CODECS, TEXT_CODECS, CommandCodec
from teltonika.codecs.transport import Transport
from teltonika.emulator.faults.plan import Fault, check_transport
from teltonika.emulator.report import DeviceReport

Seconds = Annotated[float, msgspec.Meta(ge=0, le=86_400)]
CONDITIONS = frozenset(
    field.name for field in msgspec.structs.fields(DeviceReport) if field.type is int
)
"""Counts of a device that a step can wait for."""


class Verb(Enum):
    """What a step does to a device."""

    DRIVE = "drive"
    PARK = "park"
    LOSE_GNSS = "lose-gnss"
    FIND_GNSS = "find-gnss"
    UNPLUG = "unplug"
    PLUG = "plug"
    TOW = "tow"
    END_TOW = "end-tow"
    PANIC = "panic"
    LOSE_NETWORK = "lose-network"
    SLEEP = "sleep"
    REBOOT = "reboot"
    CODEC = "codec"
    FAULT = "fault"
    ASK = "ask"
    TEXT = "text"


ENDS = {
    Verb.PARK: Verb.DRIVE,
    Verb.LOSE_GNSS: Verb.FIND_GNSS,
    Verb.UNPLUG: Verb.PLUG,
    Verb.TOW: Verb.END_TOW,
}
"""What ends a verb that is done ``for`` a while only."""
_OWN_FIELDS = {"fault": Verb.FAULT, "run": Verb.ASK, "text": Verb.TEXT}
"""Fields that one verb has, and needs."""
_ABSENCES = frozenset((Verb.LOSE_NETWORK, Verb.SLEEP))


class Step(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """``at`` seconds from the beginning, or for each device ``when`` it has counted so much.

    Raises ValueError where the fields do not fit together.
    """

    do: Verb
    at: Seconds | None = None
    when: dict[str, Annotated[int, msgspec.Meta(ge=1)]] | None = None
    """Fields of `DeviceReport` to what they are to reach, all of them."""
    devices: str | list[Annotated[int, msgspec.Meta(ge=1)]] = "all"
    """``all``, numbers from 1, ``3-7``, or ``25%`` of them, chosen by the seed."""
    for_s: Seconds | None = msgspec.field(name="for", default=None)
    codec: str | None = None
    """To change to; of a text 13, which it is if nothing is said, or 15."""
    text: str | None = None
    """What the device says, unasked."""
    fault: Fault | None = None
    """What is wrong with the next packet."""
    run: list[str] | None = None
    """A program and its arguments that make the server send a command."""

    def __post_init__(self) -> None:
        if (self.at is None) == (self.when is None):
            raise ValueError("expected either `at`, in seconds, or `when`, a condition")
        for name in self.when or ():
            if name not in CONDITIONS:
                raise ValueError(f"when: {name!r} is none of {', '.join(sorted(CONDITIONS))}")
        if self.do in _ABSENCES and self.for_s is None:
            raise ValueError(f"{self.do.value} needs `for`, in seconds")
        if self.for_s is not None and self.do not in (*ENDS, *_ABSENCES):
            raise ValueError(f"{self.do.value} takes no `for`: it is done once")
        for name, verb in _OWN_FIELDS.items():
            if (self.do is verb) != (getattr(self, name) not in (None, [])):
                raise ValueError(f"`{name}` goes with do = {verb.value!r}, and only with it")
        if self.fault is Fault.NO_LUHN:
            raise ValueError("no-luhn is no fault of a moment: give it to --fault")
        self._check_codec()
        if isinstance(self.devices, str):
            _selection(self.devices)

    def _check_codec(self) -> None:
        if self.do is Verb.TEXT:
            self.text_codec()
        elif self.do is Verb.CODEC and self.codec is not None:
            AVL_CODECS.by_name(self.codec)
        elif self.do is Verb.CODEC:
            raise ValueError("codec needs `codec`, the one to change to")
        elif self.codec is not None:
            raise ValueError("`codec` goes with do = 'codec' or 'text', and only with them")

    def text_codec(self) -> CommandCodec:
        """That of a text. Raises ValueError if it is none."""
        return TEXT_CODECS.by_name(self.codec or "13")

    def check_transport(self, transport: Transport) -> None:
        """Raises ValueError for what cannot be over this transport."""
        if self.fault is not None:
            check_transport(self.fault, transport)
        if self.do is Verb.ASK and transport is Transport.UDP:
            raise ValueError("ask is for TCP: over UDP no command comes to a device")
        if self.do is Verb.TEXT and transport is Transport.UDP:
            raise ValueError("text is for TCP")

    def chosen(self, count: int, rng: Random) -> list[int]:
        """Which of ``count`` devices, numbered from 0. Raises ValueError if one is not there."""
        if isinstance(self.devices, list):
            numbers = [number - 1 for number in self.devices]
        else:
            kind, first, last = _selection(self.devices)
            if kind == "all":
                return list(range(count))
            if kind == "%":
                return sorted(rng.sample(range(count), max(1, round(count * first / 100))))
            numbers = list(range(first - 1, last))
        if max(numbers, default=0) >= count:
            raise ValueError(f"devices: there is no device {max(numbers) + 1} among {count}")
        return numbers


def _selection(text: str) -> tuple[str, int, int]:
    if text == "all":
        return "all", 0, 0
    if match := re.fullmatch(r"(\d{1,3})%", text):
        if 1 <= (share := int(match[1])) <= 100:
            return "%", share, 0
    elif match := re.fullmatch(r"(\d{1,6})-(\d{1,6})", text):
        first, last = int(match[1]), int(match[2])
        if 1 <= first <= last:
            return "-", first, last
    raise ValueError(f"devices: expected 'all', numbers, '3-7' or '25%', found {text!r}")
