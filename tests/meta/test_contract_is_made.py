"""docs/contract/ and the tables of docs/contract.md are what the types of the server say."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from contract import KINDS, schema, validator
from jsonschema import ValidationError

DOCS = Path(__file__).parents[2] / "docs"


def test_the_contract_is_up_to_date(tmp_path: Path) -> None:
    """If it is not: python docs/make_contract.py"""
    subprocess.run(
        [sys.executable, str(DOCS / "make_contract.py"), str(tmp_path)], check=True, timeout=60
    )
    made = {file.relative_to(tmp_path): file.read_text() for file in tmp_path.rglob("*.*")}
    committed = {name: (DOCS / name).read_text() for name in made}
    assert made == committed
    assert set((DOCS / "contract").iterdir()) == {
        DOCS / name for name in made if name.parts[0] == "contract"
    }


@pytest.mark.parametrize("kind", KINDS)
def test_each_schema_is_one(kind: str) -> None:
    validator(kind)
    assert schema(kind)["title"]


def test_every_reference_of_the_asyncapi_document_leads_somewhere() -> None:
    document = yaml.safe_load((DOCS / "contract" / "asyncapi.yaml").read_text())
    references = list(_references(document))
    assert len(references) > 20
    for reference in references:
        part = document
        for name in reference.removeprefix("#/").split("/"):
            part = part[name]


def test_a_status_has_the_fields_of_its_kind_only() -> None:
    about = {"command_id": "c1", "imei": "356307042441013", "instance_id": "a", "codec": "12"}
    delivered = about | {"ts": "2026-01-31T08:00:00.000Z", "status": "delivered"}
    validator("response").validate(delivered)
    for broken in (
        delivered | {"status": "failed"},
        delivered | {"status": "failed", "reason": "tired", "detail": ""},
        delivered | {"status": "responded", "response": "ok", "response_hex": "6F"},
        delivered | {"ts": "2026-01-31 08:00"},
    ):
        with pytest.raises(ValidationError):
            validator("response").validate(broken)


def _references(part: object) -> list[str]:
    if isinstance(part, list):
        return [found for one in part for found in _references(one)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [found for one in part.values() for found in _references(one)]
