"""What devices are to go through, and what is expected of the server then."""

from teltonika.emulator.scenario.expectations import Asked, Verdict
from teltonika.emulator.scenario.file import Scenario, ScenarioError, read_scenario
from teltonika.emulator.scenario.fleet import ScenarioFleet
from teltonika.emulator.scenario.junit import write_junit

__all__ = [
    "Asked",
    "Scenario",
    "ScenarioError",
    "ScenarioFleet",
    "Verdict",
    "read_scenario",
    "write_junit",
]
