"""docs/operating.md says what the code has."""

from doc_scripts import DOCS, script


def test_the_tables_are_up_to_date() -> None:
    page = (DOCS / "operating.md").read_text()
    assert "| `teltonika_records_total` |" in page
    assert script("make_metrics_table").with_tables(page) == page, (
        "run: python docs/make_metrics_table.py"
    )
