"""The pages name files and what stands in them: both exist."""

from __future__ import annotations

import re
from pathlib import Path

import click
import pytest

from rotx.cli import eval as rotx_eval
from rotx.cli import main
from rotx.cli import train as rotx_train

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


def test_the_first_screen_of_the_readme_shows_what_rotx_is() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) < 150
    screen = "\n".join(lines[:45])
    picture = re.search(r"!\[[^]]+\]\((docs/[\w.]+)\)", screen)
    assert picture and (ROOT / picture[1]).stat().st_size < 150_000
    assert "pip install" in screen
    snippet = re.search(r"```python\n(.*?)```", screen, re.DOTALL)
    assert snippet and "import rotx" in snippet[1] and len(snippet[1].splitlines()) <= 7
    compile(snippet[1], "README.md", "exec")
    assert {"rotx-train", "rotx predict"} <= set(re.findall(r"^(rotx[- ]\w+)", screen, re.MULTILINE))


def test_the_readme_names_every_page() -> None:
    links = {path for path, _ in mentions("README.md")}
    assert {page for page in PAGES if page != "README.md"} <= links


PROGRAMS = {"rotx": main, "rotx-train": rotx_train.main, "rotx-eval": rotx_eval.main}
FENCED = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"^[ $]*((?:rotx|rotx-train|rotx-eval|make) .+)", re.MULTILINE)


def commands(page: str) -> list[list[str]]:
    """The words of each command in blocks of code and in backticks."""
    text = (ROOT / page).read_text(encoding="utf-8")
    code = "\n".join([*FENCED.findall(text), *re.findall(r"^    .*", text, re.MULTILINE)])
    code += "\n" + "\n".join(re.findall(r"`([^`\n]+)`", text))
    return [re.sub(r"\s#.*", "", line).split() for line in COMMAND.findall(code)]


def command_of(words: list[str]) -> click.Command:
    """The command that a line calls: ``rotx config show FILE`` calls ``show`` of ``config`` of ``rotx``."""
    command: click.Command | None = PROGRAMS[words.pop(0)]
    while isinstance(command, click.Group):
        command = command.get_command(click.Context(command), words.pop(0))
    assert command is not None, words
    return command


@pytest.mark.parametrize("page", PAGES)
def test_commands_and_options_on_the_pages_exist(page: str) -> None:
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    for words in commands(page):
        if words[0] == "make":
            assert words[1] in targets
            continue
        known = {option for parameter in command_of(list(words)).params for option in parameter.opts}
        assert {word.partition("=")[0] for word in words if word.startswith("--")} <= known, words


def test_commands_are_found() -> None:
    found = [" ".join(words) for words in commands("README.md")]
    assert {"make test", "rotx config check FILE", "rotx browse data/DOTA/val --out pictures"} <= set(found)


def test_the_page_for_models_mentions_much() -> None:
    found = mentions("docs/models.md")
    assert len(found) > 50 and sum(bool(name) for _, name in found) > 40
