"""What a server says on its port for metrics and health, read as Prometheus reads it."""

import urllib.error
import urllib.request
from collections.abc import Mapping

from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families
from serving import ServerProcess

Labels = frozenset[tuple[str, str]]


class Scrape:
    """One page of metrics."""

    def __init__(self, page: str) -> None:
        self.page = page
        self.families: Mapping[str, Metric] = {
            family.name: family for family in text_string_to_metric_families(page)
        }
        self._values = {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families.values()
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float:
        return self._values[name, frozenset(labels.items())]

    def total(self, name: str) -> float:
        """Of all series of that name."""
        return sum(value for (found, _), value in self._values.items() if found == name)

    @property
    def sample_names(self) -> set[str]:
        return {name for name, _ in self._values}

    @property
    def series(self) -> set[tuple[str, Labels]]:
        return set(self._values)


def url_of(server: ServerProcess, path: str) -> str:
    return f"http://{server.listening['metrics']}{path}"


def scrape(server: ServerProcess) -> Scrape:
    status, text = ask(server, "/metrics")
    assert status == 200
    return Scrape(text)


def ask(server: ServerProcess, path: str, **headers: str) -> tuple[int, str]:
    """Status and body."""
    request = urllib.request.Request(url_of(server, path), headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=20) as response:
            return response.status, response.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
