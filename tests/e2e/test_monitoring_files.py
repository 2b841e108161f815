"""What deploy/ has for Prometheus and Grafana, against the metrics of a running server."""

import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from scraping import ask, scrape
from serving import IMEI, ServerProcess, run_teltonika

from teltonika.server.workers.worker_families import SUPERVISOR_FAMILIES

StartServer = Callable[..., ServerProcess]
DEPLOY = Path(__file__).parents[2] / "deploy"
NOT_OURS = {"up"}
"""What Prometheus itself knows of whom it asks."""
WITH_WORKERS = {family.full_name for family in SUPERVISOR_FAMILIES}
"""What one process has not; test_workers sees them."""
KEYWORDS = {"and", "or", "unless", "offset", "bool", "by", "without", "on", "ignoring"}

promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="no promtool")


def metrics_in(expression: str) -> set[str]:
    """The names in PromQL: what is no label, no function, no duration and no keyword."""
    bare = re.sub(r'"[^"]*"|\{.*?\}|\[.*?\]', "", re.sub(r'"[^"]*"', "", expression))
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)", "", bare)
    bare = re.sub(r"\boffset\s+\w+", "", bare)
    names = re.findall(r"(?<![\w.$])([a-zA-Z_:][\w:]*)(?!\w)(?!\s*\()", bare)
    return set(names) - KEYWORDS


def alerts() -> list[dict[str, Any]]:
    (group,) = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return list(group["rules"])


def dashboard_expressions() -> Iterator[str]:
    dashboard = json.loads((DEPLOY / "grafana-dashboard.json").read_text())
    for panel in dashboard["panels"]:
        for target in panel.get("targets", ()):
            yield target["expr"]
    for variable in dashboard["templating"]["list"]:
        if variable["type"] == "query":
            match = re.fullmatch(r"label_values\((\w+), \w+\)", variable["query"]["query"])
            assert match is not None
            yield match[1]


@pytest.fixture
def metered(start_server: StartServer) -> ServerProcess:
    return start_server("--metrics", "0")


def test_metrics_are_found_in_an_expression() -> None:
    expression = (
        'sum by (instance, le) (rate(a_total{b="c d"}[5m])) > 2 * (e offset 15m) and f > 1e3'
    )
    assert metrics_in(expression) == {"a_total", "e", "f"}


def test_every_metric_that_alerts_and_dashboard_name_is_there(metered: ServerProcess) -> None:
    there = scrape(metered).sample_names | NOT_OURS | WITH_WORKERS
    expressions = [*dashboard_expressions(), *(alert["expr"] for alert in alerts())]
    assert len(expressions) > 50
    for expression in expressions:
        named = metrics_in(expression)
        assert named, expression
        assert named <= there, expression


def test_every_metric_is_on_the_dashboard(metered: ServerProcess) -> None:
    shown = {name for expression in dashboard_expressions() for name in metrics_in(expression)}
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    there = {
        family + ("_total" if metric.type == "counter" else "")
        for family, metric in scrape(metered).families.items()
        if family.startswith("teltonika_")
    }
    assert families >= WITH_WORKERS
    assert there - families == {"teltonika_repeated_io_ids_total"}  # no operator's business


def test_every_label_value_that_an_alert_names_is_there(metered: ServerProcess) -> None:
    series = scrape(metered).series
    for alert in alerts():
        for name, matchers in re.findall(r"(teltonika_\w+)\{(.*?)\}", alert["expr"]):
            for label, values in re.findall(r'(\w+)=~?"([^"]*)"', matchers):
                for value in values.split("|"):
                    assert any(n == name and (label, value) in labels for n, labels in series)


def test_every_alert_says_what_to_do() -> None:
    for alert in alerts():
        assert alert["labels"]["severity"] in {"page", "ticket"}
        assert alert["annotations"]["summary"]
        assert alert["annotations"]["runbook"].endswith(".")


def run_promtool(*arguments: str, stdin: str = "") -> None:
    result = subprocess.run(
        ["promtool", *arguments], input=stdin, capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stderr) == (0, ""), result.stdout + result.stderr


@promtool
def test_promtool_finds_nothing_wrong_with_rules_and_configuration() -> None:
    run_promtool("check", "rules", str(DEPLOY / "alerts.yml"))
    run_promtool("check", "config", str(DEPLOY / "prometheus.yml"))


@promtool
def test_alerts_fire_when_they_should_and_not_before() -> None:
    run_promtool("test", "rules", str(Path(__file__).with_name("alert_cases.yml")))


@promtool
def test_promtool_finds_nothing_wrong_with_the_metrics_of_a_server_under_load(
    metered: ServerProcess,
) -> None:
    common = ("--port", str(metered.port), "--interval", "0")
    assert run_teltonika("emulate", *common, "--imei", IMEI, "--records", "50").returncode == 0
    status, page = ask(metered, "/metrics")
    assert status == 200
    run_promtool("check", "metrics", stdin=page)
