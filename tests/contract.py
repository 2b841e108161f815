"""The committed JSON Schemas of what stands in Redis, to hold entries against."""

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

DIRECTORY = Path(__file__).parents[1] / "docs" / "contract"
KINDS = tuple(sorted(file.name.split(".")[0] for file in DIRECTORY.glob("*.schema.json")))


@cache
def schema(kind: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((DIRECTORY / f"{kind}.schema.json").read_text())
    return loaded


@cache
def validator(kind: str) -> Draft202012Validator:
    Draft202012Validator.check_schema(schema(kind))
    return Draft202012Validator(schema(kind))


def field_names(kind: str) -> set[str]:
    """Every field that the schema knows."""
    forms = [schema(kind), *schema(kind).get("$defs", {}).values()]
    forms = forms[1:] if "oneOf" in forms[0] else forms[:1]
    return {name for form in forms for name in form.get("properties", {})}


def check(kind: str, entry: dict[str, Any]) -> None:
    """The entry is as the schema says, and has no field that this does not know."""
    validator(kind).validate(entry)
    assert entry.keys() <= field_names(kind)
    if kind == "telemetry":
        check("payload", json.loads(entry["payload"]))
