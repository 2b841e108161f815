"""`python -m benchmarks.page`: what docs/benchmarks.json and docs/scaling.json say, into the pages.

Each has its figures between two comments; the tests hold them against the JSON.
"""

from pathlib import Path

import msgspec

from benchmarks import ingest
from benchmarks.report import Report, markdown
from benchmarks.scaling import Scaling
from benchmarks.scaling import markdown as scaling_tables

ROOT = Path(__file__).parents[1]
MEASURED = ROOT / "docs" / "benchmarks.json"
SCALED = ROOT / "docs" / "scaling.json"
BEGIN, END = "<!-- measured -->\n", "<!-- end -->\n"


def pages() -> dict[Path, str]:
    """Each page as it should be."""
    report = msgspec.json.decode(MEASURED.read_bytes(), type=Report)
    scaling = msgspec.json.decode(SCALED.read_bytes(), type=Scaling)
    return {
        ROOT / name: _filled((ROOT / name).read_text(encoding="utf-8"), text)
        for name, text in (
            ("docs/performance.md", markdown(report)),
            ("README.md", headline(report)),
            ("docs/scaling.md", scaling_tables(scaling)),
        )
    }


def headline(report: Report) -> str:
    """What the server takes, in a sentence."""
    name = ingest.name_of(ingest.MANY, 100, ingest.SERVER)
    line = next(line for line in report.lines if line.name == name)
    ceiling = line.ratio_to(ingest.name_of(ingest.MANY, 100, ingest.CEILING))
    return (
        f"On two cores, shared with Valkey and the devices, `serve` takes {line.median:,.0f} "
        "records a second,\neach on disk before its ACK: "
        f"{ceiling:.2f} of what Valkey takes from a bare client ([how that is\nmeasured]"
        "(docs/performance.md): `python -m benchmarks`).\n"
    )


def _filled(page: str, text: str) -> str:
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}{text}{END}{after}"


if __name__ == "__main__":
    for file, page in pages().items():
        file.write_text(page, encoding="utf-8")
