"""Pings that a read cut apart, joined again: to hold events of differently cut streams together."""

from collections.abc import Iterable

from teltonika.codecs import PingReceived, ServerEvent


def join_pings(events: Iterable[ServerEvent]) -> list[ServerEvent]:
    """The same events, with one `PingReceived` for each run of pings."""
    joined: list[ServerEvent] = []
    for event in events:
        before = joined[-1] if joined else None
        if isinstance(event, PingReceived) and isinstance(before, PingReceived):
            joined[-1] = PingReceived(before.count + event.count)
        else:
            joined.append(event)
    return joined
