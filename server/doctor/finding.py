"""What a check has found."""

from enum import StrEnum

import msgspec


class Outcome(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, and one day it will not, or not as one thinks."""
    FAILURE = "failure"
    """A server would not start, or would not do what it is asked to."""


class Finding(msgspec.Struct, frozen=True):
    """Of one check."""

    check: str
    outcome: Outcome
    found: str
    advice: str = ""
    """What to do; empty if nothing is wrong."""


def ok(check: str, found: str) -> Finding:
    return Finding(check, Outcome.OK, found)


def warning(check: str, found: str, advice: str) -> Finding:
    return Finding(check, Outcome.WARNING, found, advice)


def failure(check: str, found: str, advice: str) -> Finding:
    return Finding(check, Outcome.FAILURE, found, advice)
