"""The documents say what the package holds."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import pellucid as pld

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def papers() -> set[str]:
    """DOIs of the papers, as the bibliography has them."""
    bibliography = (ROOT / "docs" / "references.bib").read_text(encoding="utf-8")
    return set(re.findall(r"doi = \{(.+?)\}", bibliography))


@pytest.mark.parametrize("room", sorted(pld.__all__))
def test_api_pages_list_every_public_name(room):
    page = (ROOT / "docs" / "api" / f"{room}.md").read_text(encoding="utf-8")
    listed = re.findall(rf"^   {room}\.(\w+)$", page, re.M)
    assert sorted(listed) == sorted(getattr(pld, room).__all__)


def test_papers_are_cited_everywhere():
    assert len(papers()) == 5
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert set(re.findall(r"^    doi: (.+)$", citation, re.M)) == papers()
    assert set(re.findall(r"https://doi\.org/([^)\s]+)", README)) == papers()


def test_changelog_names_only_what_is_there():
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for room, name in re.findall(r"`(pp|tl|pl|get|model|datasets)\.(\w+)`", changelog):
        assert name in getattr(pld, room).__all__, f"{room}.{name}"


@pytest.mark.parametrize(
    "command",
    [
        "pip install -c constraints.txt . && python -m pellucid",
        'pip install -c constraints.txt -e ".[test]" && pytest -n auto',
    ],
)
def test_readme_has_the_commands_that_are_checked(command):
    lines = README.splitlines()
    assert lines.count(command) == 1
    assert command in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
