"""Consumers' lag as tables, in 80 columns."""

from rich.box import SIMPLE_HEAD
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from teltonika.cli.top_view import span
from teltonika.codecs.printable import printable
from teltonika.consumer.lag import ConsumerState, GroupLag, ShardLag


def lag_view(groups: list[GroupLag], note: str = "") -> RenderableType:
    """``note``: what is wrong right now, in a sentence."""
    parts: list[RenderableType] = []
    if note:
        parts.append(Text(printable(note), style="bold red", no_wrap=True, overflow="ellipsis"))
    parts += [_shards(groups), _consumers(groups)] if groups else ["No group reads the stream."]
    return Group(*parts)


def _shards(groups: list[GroupLag]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("group", "stream"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for heading in ("not delivered", "not acknowledged", "oldest"):
        table.add_column(heading, no_wrap=True, justify="right")
    for group in groups:
        name = printable(group.group)
        for shard in group.shards:
            table.add_row(Text(name), Text(printable(shard.stream)), *_numbers(shard))
            name = ""
        if len(group.shards) > 1:
            table.add_row("", "in all", *_numbers(group), style="bold")
    return table


def _numbers(behind: ShardLag | GroupLag) -> tuple[str, str, str]:
    lag = f"{behind.lag_at_most:,}"
    age_s = behind.oldest_age_s
    return (
        lag if behind.lag is not None else f"unknown, ≤ {lag}",
        f"{behind.pending:,}",
        "-" if age_s is None else span(age_s),
    )


def _consumers(groups: list[GroupLag]) -> Table:
    """Each by name: what it holds of all shards, and when it last asked for one."""
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("group", "consumer"):
        table.add_column(heading, no_wrap=True, overflow="ellipsis")
    for heading in ("not acknowledged", "idle"):
        table.add_column(heading, no_wrap=True, justify="right")
    for group in groups:
        name = printable(group.group)
        by_name: dict[str, list[ConsumerState]] = {}
        for shard in group.shards:
            for state in shard.consumers:
                by_name.setdefault(state.name, []).append(state)
        for consumer, states in sorted(by_name.items()):
            pending = sum(state.pending for state in states)
            idle_s = min(state.idle_s for state in states)
            table.add_row(Text(name), Text(printable(consumer)), f"{pending:,}", span(idle_s))
            name = ""
    return table
