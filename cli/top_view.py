"""The whole at a glance, in 80 columns."""

from itertools import zip_longest

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from teltonika.codecs.printable import printable
from teltonika.server.overview import InstanceState, Overview
from teltonika.server.telemetry_sample import NoisyDevice, SlowDevice

INSTANCES = 5
"""So many instances are shown; the rest is counted."""
COMPLAINTS = 3
"""So many sentences about keys that cannot be read are shown; the rest is counted."""


def top_view(overview: Overview, note: str = "") -> RenderableType:
    """``note``: what is wrong right now, in a sentence."""
    parts: list[RenderableType] = [Text(_headline(overview), style="bold")]
    told = [note] if note else []
    told += overview.complaints[:COMPLAINTS]
    if len(overview.complaints) > COMPLAINTS:
        told.append(f"and {len(overview.complaints) - COMPLAINTS} more keys that cannot be read")
    parts += [
        Text(printable(sentence), style="bold red", no_wrap=True, overflow="ellipsis")
        for sentence in told
    ]
    parts.append(Text(_ages(overview)))
    parts.append(_instances(overview))
    if overview.noisiest or overview.slowest:
        parts.append(_devices(overview))
    read = "" if overview.sampled == 1 else f"; ages from {overview.sampled:.2%} of the new ones"
    parts.append(Text(f"{overview.stream_length:,} records on the stream{read}", style="dim"))
    return Group(*parts)


def span(seconds: float) -> str:
    """So long, in the unit a person would take: ``0.4 s``, ``12 min``, ``3.5 h``, ``-2 s``."""
    size = abs(seconds)
    if size < 10:
        return f"{seconds:.1f} s"
    if size < 100:
        return f"{seconds:.0f} s"
    if size < 6_000:
        return f"{seconds / 60:.0f} min"
    if size < 172_800:
        return f"{seconds / 3_600:.1f} h"
    return f"{seconds / 86_400:,.0f} d"


def _headline(overview: Overview) -> str:
    alive = sum(instance.alive for instance in overview.instances)
    return (
        f"{overview.ts[11:19]}  {_count(alive, 'instance')}, "
        f"{_count(overview.connections, 'connection')}, {overview.records_per_s:,.1f} records/s, "
        f"{_count(overview.commands, 'command')}"
    )


def _ages(overview: Overview) -> str:
    ages = overview.ages
    if ages is None:
        return "no new records"
    return (
        f"age of records when stored: median {span(ages.median_s)}, p95 {span(ages.p95_s)}, "
        f"longest {span(ages.longest_s)}"
    )


def _instances(overview: Overview) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("instance", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("heartbeat", no_wrap=True, justify="right")
    for heading in ("connections", "commands"):
        table.add_column(heading, no_wrap=True, justify="right")
    table.add_column("since", no_wrap=True)
    ordered = sorted(overview.instances, key=lambda one: (not one.alive, -one.connections))
    about = "~" if overview.connections_are_estimated else ""
    for instance in ordered[:INSTANCES]:
        table.add_row(
            Text(printable(instance.instance_id)),
            _heartbeat(instance),
            f"{about}{instance.connections:,}",
            f"{instance.commands:,}",
            Text(printable((instance.started_at or "?")[:16].replace("T", " "))),
            style="red" if instance.short_of or not instance.alive else "",
        )
    if len(ordered) > INSTANCES:
        table.add_row(f"and {len(ordered) - INSTANCES} more")
    if not ordered:
        table.add_row("none")
    return table


def _heartbeat(instance: InstanceState) -> str:
    if not instance.alive:
        return "dead"
    if instance.short_of:
        return f"no {' or '.join(map(printable, instance.short_of))} left"
    age_s = instance.heartbeat_age_s
    return "alive" if age_s is None else f"{span(age_s)} ago"


def _devices(overview: Overview) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("noisiest", no_wrap=True, min_width=15)
    table.add_column("records/s", no_wrap=True, justify="right")
    table.add_column(" ")
    table.add_column("slowest", no_wrap=True, min_width=15)
    table.add_column("age when stored", no_wrap=True, justify="right")
    for noisy, slow in zip_longest(overview.noisiest, overview.slowest):
        table.add_row(*_noisy(noisy), "", *_slow(slow))
    return table


def _noisy(device: NoisyDevice | None) -> tuple[str | Text, str]:
    if device is None:
        return "", ""
    return Text(printable(device.imei)), f"{device.records_per_s:,.2f}"


def _slow(device: SlowDevice | None) -> tuple[str | Text, str]:
    if device is None:
        return "", ""
    return Text(printable(device.imei)), span(device.age_s)


def _count(count: int, what: str) -> str:
    return f"{count:,} {what}{'' if count == 1 else 's'}"
