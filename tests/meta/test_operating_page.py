"""docs/operating.md and docs/workers.md say what the code has."""

from doc_scripts import DOCS, script


def test_the_tables_are_up_to_date() -> None:
    for name, metric in (("operating", "records_total"), ("workers", "worker_up")):
        page = (DOCS / f"{name}.md").read_text()
        assert f"| `teltonika_{metric}` |" in page
        check_tables(page)


def check_tables(page: str) -> None:
    assert script("make_metrics_table").with_tables(page) == page, (
        "run: python docs/make_metrics_table.py"
    )
