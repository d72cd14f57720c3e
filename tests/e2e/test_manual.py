"""The manual: README and ``docs`` speak of every verb, and lead to every page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.e2e.verbs import run

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
PAGES = [README, *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def test_every_verb_is_explained(capsys: pytest.CaptureFixture[str]):
    assert run("--help") == 0
    usage = re.search(r"\{([a-z,]+)\}", capsys.readouterr().out)
    assert usage is not None
    verbs = usage[1].split(",")
    assert {"grow", "fly", "evaluate"} <= set(verbs)
    manual = "\n".join(page.read_text() for page in PAGES)
    assert [verb for verb in verbs if not re.search(rf"worldgen {verb}\b", manual)] == []


def test_readme_leads_to_every_page():
    linked = {(ROOT / name).resolve() for name in LINK.findall(README.read_text())}
    assert [page.name for page in PAGES[1:] if page.resolve() not in linked] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_lead_somewhere(page: Path):
    here = [name for name in LINK.findall(page.read_text()) if "://" not in name]
    assert [name for name in here if not (page.parent / name).exists()] == []
