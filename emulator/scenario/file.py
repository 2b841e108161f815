"""Scenario files: TOML or YAML, by the ending of their name."""

import re
import tomllib
from pathlib import Path

import msgspec

from teltonika.emulator.scenario.expectations import Expectations
from teltonika.emulator.scenario.step import Step

MAX_SIZE = 1_000_000
"""Bytes of a file."""


class ScenarioError(Exception):
    """The file is no scenario. The sentence names file and place."""


class Scenario(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a file says."""

    name: str = ""
    emulate: dict[str, bool | int | float | str | list[str]] = {}
    """Options of the command line, by their names without the dashes in front."""
    steps: list[Step] = []
    expect: Expectations = Expectations()

    @property
    def has_conditions(self) -> bool:
        return any(step.when is not None for step in self.steps)


def read_scenario(path: Path) -> Scenario:
    """Raises ScenarioError."""
    try:
        with path.open("rb") as file:
            content = file.read(MAX_SIZE + 1)
        if len(content) > MAX_SIZE:
            raise ScenarioError(f"{path}: more than {MAX_SIZE} bytes; that is no scenario")
        text = content.decode()
    except OSError as error:
        raise ScenarioError(f"cannot read {path}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{path}: expected text") from error
    try:
        raw = _parse(path, text)
        scenario = msgspec.convert(raw, Scenario)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        raise ScenarioError(f"{path}: {_sentence(str(error))}") from error
    return msgspec.structs.replace(scenario, name=scenario.name or path.stem)


def _parse(path: Path, text: str) -> object:
    match path.suffix.lower():
        case ".toml":
            return tomllib.loads(text)
        case ".yaml" | ".yml":
            return _parse_yaml(path, text)
        case suffix:
            raise ScenarioError(f"{path}: expected .toml, .yaml or .yml, found {suffix!r}")


def _parse_yaml(path: Path, text: str) -> object:
    import yaml  # noqa: PLC0415 - most runs of `emulate` need none

    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ScenarioError(f"{path}: {' '.join(str(error).split())}") from error


def _sentence(complaint: str) -> str:
    """msgspec's ``Expected … - at `$.steps[2].at` `` with the place first, steps from 1."""
    what, _, path = complaint.partition(" - at `$.")
    where = re.sub(r"^steps\[(\d+)\]", lambda match: f"step {int(match[1]) + 1}", path.rstrip("`"))
    return f"{where.replace('.', ', ')}: {what}" if path else what
