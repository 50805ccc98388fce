"""The pages name files and what stands in them: both exist."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]

#: A file or folder of the tree in backticks, and perhaps the name of something in it.
TREE = r"(?:\.ci|configs|docs|python|rust|tests)/"
IN_BACKTICKS = re.compile(rf"`({TREE}[\w./-]*)`(?:\s+`([A-Za-z_][\w.]*)`)?")
LINKS = re.compile(r"\]\((?!https?://|#)([^)]+)\)")


def mentions(page: str) -> list[tuple[str, str]]:
    text = (ROOT / page).read_text(encoding="utf-8")
    links = [(str(Path(page).parent / link), "") for link in LINKS.findall(text)]
    return IN_BACKTICKS.findall(text) + links


@pytest.mark.parametrize("page", PAGES)
def test_what_pages_mention_exists(page: str) -> None:
    wrong = []
    for path, name in mentions(page):
        file = ROOT / path
        if not file.exists():
            wrong.append(path)
        elif file.is_file() and not all(
            re.search(rf"(?:def|class|fn) {part}\b|^{part}\b", file.read_text(encoding="utf-8"), re.MULTILINE)
            for part in filter(None, name.split("."))
        ):
            wrong.append(f"{path}: no {name}")
    assert wrong == []


def test_the_page_for_models_mentions_much() -> None:
    found = mentions("docs/models.md")
    assert len(found) > 50 and sum(bool(name) for _, name in found) > 40
