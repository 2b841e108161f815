"""Writes the tables of operating.md and workers.md: `python docs/make_metrics_table.py`."""

import re
from collections.abc import Iterable
from pathlib import Path

import yaml

from teltonika.server.metrics_families import FAMILIES, Family, SourceT
from teltonika.server.workers.worker_families import SUPERVISOR_FAMILIES

PAGES = [Path(__file__).with_name(name) for name in ("operating.md", "workers.md")]
ALERTS = Path(__file__).parents[1] / "deploy" / "alerts.yml"
METRICS_HEAD = ("metric", "kind", "labels", "what it says")
ALERTS_HEAD = ("alert", "severity", "what to do")


def with_tables(page: str) -> str:
    """The page with the metrics as they are in the code, and the alerts as in their file."""
    (group,) = yaml.safe_load(ALERTS.read_text())["groups"]
    page = _with_table(page, "metrics", METRICS_HEAD, map(_metric, FAMILIES))
    page = _with_table(page, "workers", METRICS_HEAD, map(_metric, SUPERVISOR_FAMILIES))
    return _with_table(page, "alerts", ALERTS_HEAD, map(_alert, group["rules"]))


def _with_table(
    page: str, name: str, head: tuple[str, ...], rows: Iterable[tuple[str, ...]]
) -> str:
    table = [head, ("---",) * len(head), *rows]
    text = "".join(f"| {' | '.join(row)} |\n" for row in table)
    place = re.compile(rf"(?<=<!-- {name} -->\n).*?(?=<!-- end -->)", re.DOTALL)
    return place.sub(lambda _: text, page, count=1)


def _metric(family: Family[SourceT]) -> tuple[str, ...]:
    labels = ", ".join(f"`{label}`" for label in family.labels)
    return f"`{family.full_name}`", family.kind, labels, family.meaning


def _alert(rule: dict[str, dict[str, str]]) -> tuple[str, ...]:
    return f"`{rule['alert']}`", rule["labels"]["severity"], rule["annotations"]["runbook"]


if __name__ == "__main__":
    for file in PAGES:
        file.write_text(with_tables(file.read_text()))
