"""The documentation builds as a site, and its drawings are those that the scripts make."""

import re
import subprocess
import sys
from pathlib import Path

import yaml
from doc_scripts import script

ROOT = Path(__file__).parents[2]


def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "How it is built" in (tmp_path / "index.html").read_text()


def test_every_link_of_the_site_leads_somewhere(tmp_path: Path) -> None:
    """Also to what is no page: mkdocs only mentions files that it leaves out."""
    command = [sys.executable, "-m", "mkdocs", "build", "--site-dir", tmp_path, "--quiet"]
    subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    links = [
        (page.relative_to(tmp_path), link)
        for page in tmp_path.rglob("index.html")
        for link in re.findall(r'(?:href|src)="([^"#?:]+)["#?]', page.read_text())
    ]
    assert len(links) > 1_000
    broken = [(page, link) for page, link in links if not (tmp_path / page.parent / link).exists()]
    assert broken == []


def test_every_page_has_its_place() -> None:
    text = (ROOT / "mkdocs.yml").read_text()
    placed = [
        page
        for entry in yaml.safe_load(text)["nav"]
        for value in entry.values()
        for page in ([value] if isinstance(value, str) else [p for e in value for p in e.values()])
    ]
    assert sorted(placed) == sorted(file.name for file in (ROOT / "docs").glob("*.md"))


def test_the_diagrams_are_those_that_the_script_draws() -> None:
    for drawn, text in script("make_diagrams").drawings().items():
        assert drawn.read_text(encoding="utf-8") == text


def test_every_setting_and_every_log_event_is_explained() -> None:
    make = script("make_reference")
    assert make.MEANINGS.keys() == make.events().keys()
    assert make.PAGE.read_text(encoding="utf-8") == make.page()
    assert make.page().count("| `--") > 35


def test_the_rights_that_a_user_needs_are_those_of_the_code() -> None:
    make = script("make_rights")
    page = make.PAGE.read_text(encoding="utf-8")
    assert "+evalsha" in page
    assert make.with_rules(page) == page, "run: python docs/make_rights.py"
