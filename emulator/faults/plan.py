"""Which faults happen, how often, and when."""

import re
from collections.abc import Iterable
from enum import Enum

import msgspec


class Fault(Enum):
    """One kind. All but the last are drawn for each packet that is written, also a second time."""

    SPLIT = "split"
    """It comes in tiny segments."""
    COALESCE = "coalesce"
    """It comes in one segment with the next one, which does not wait for its ACK."""
    DELAY = "delay"
    """It comes up to a second late."""
    THROTTLE = "throttle"
    """It comes at 1,000 bytes a second."""
    CRC = "crc"
    """Its CRC is wrong."""
    LENGTH = "length"
    """Its data field length is wrong, the CRC is right."""
    COUNTS = "counts"
    """Its numbers of data are not the same, the CRC is right."""
    GARBAGE = "garbage"
    """Random bytes come in front of it."""
    DUPLICATE = "duplicate"
    """It comes twice in a row."""
    DROP_ACK = "drop-ack"
    """The device ignores its ACK."""
    CUT = "cut"
    """Half of it comes, then the connection is closed."""
    RESET = "rst"
    """It comes, and then a TCP reset."""
    HALF_OPEN = "half-open"
    """It comes, and then the connection stays without a word, and the device makes another."""
    STORM = "storm"
    """In its place come ten connections, one after the other, each with nothing but the IMEI."""
    TWIN = "twin"
    """Before it another connection says the same IMEI, and stays."""
    CLOCK = "clock"
    """The timestamps of its records are years off. They are not put right again."""
    NO_LUHN = "no-luhn"
    """Drawn once for each device: the check digit of its IMEI is wrong."""


class FaultPlan(msgspec.Struct, frozen=True):
    """Faults with a probability (0 to 1), and those with a moment: each once, with the first
    packet that can have it, so many seconds after the device began."""

    chances: dict[Fault, float] = {}
    moments: tuple[tuple[float, Fault], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.chances or self.moments)


_KINDS = ", ".join(fault.value for fault in Fault)


def parse_faults(texts: Iterable[str]) -> FaultPlan:
    """Each ``crc=0.01,rst@30``: names with a probability or a moment in seconds.

    Raises ValueError.
    """
    chances: dict[Fault, float] = {}
    moments: list[tuple[float, Fault]] = []
    for part in ",".join(texts).split(","):
        match = re.fullmatch(r"\s*([a-z-]+)([=@])(\d{1,6}(?:\.\d{1,9})?)s?\s*", part)
        if match is None:
            raise ValueError(f"{part!r} is neither such as crc=0.01 nor such as rst@30")
        try:
            fault = Fault(match[1])
        except ValueError:
            raise ValueError(f"{match[1]!r} is none of {_KINDS}") from None
        number = float(match[3])
        if match[2] == "@":
            if fault is Fault.NO_LUHN:
                raise ValueError("no-luhn has no moment: a device is one from the beginning")
            moments.append((number, fault))
        elif number > 1:
            raise ValueError(f"{part.strip()!r}: a probability is 0 to 1")
        else:
            chances[fault] = number
    return FaultPlan(chances, tuple(sorted(moments, key=lambda moment: moment[0])))
