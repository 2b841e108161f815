"""docs/operating.md says what the code has."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

DOCS = Path(__file__).parents[2] / "docs"


def script() -> ModuleType:
    spec = spec_from_file_location("make_metrics_table", DOCS / "make_metrics_table.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_tables_are_up_to_date() -> None:
    page = (DOCS / "operating.md").read_text()
    assert "| `teltonika_records_total` |" in page
    assert script().with_tables(page) == page, "run: python docs/make_metrics_table.py"
