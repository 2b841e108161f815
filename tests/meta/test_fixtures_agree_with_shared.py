"""The project's copy of the published samples is the original, where the original is at hand."""

import json
from pathlib import Path

import pytest
from samples import SAMPLES_FILE

ORIGINAL = Path(__file__).parents[3] / "shared" / "protocol" / "doc_samples.json"


@pytest.mark.skipif(not ORIGINAL.exists(), reason=f"no {ORIGINAL} beside this checkout")
def test_published_samples_are_those_of_the_protocol_notes() -> None:
    assert json.loads(SAMPLES_FILE.read_text()) == json.loads(ORIGINAL.read_text())
