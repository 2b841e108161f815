"""How often a tracker records, and how often it sends."""

import msgspec


class Pace(msgspec.Struct, frozen=True):
    """In one state of the vehicle. Seconds, 1 or more."""

    record_period_s: float
    send_period_s: float


class Paces(msgspec.Struct, frozen=True, kw_only=True):
    """In each state, and where what was recorded is kept until it is sent."""

    moving: Pace
    stopped: Pace
    roaming: Pace
    """Abroad, whether it moves or not."""
    buffer_size: int = 10_000
    """Records; of more the oldest are lost."""
    newest_first: bool = False
    """Which records go out first when several wait."""
