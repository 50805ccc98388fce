"""The names of classes in the yaml file of a YOLO data set, without a library for all of yaml."""

from __future__ import annotations

import json
import re
from pathlib import Path

from rotx.annotations.files import FormatError, clear_errors

_QUOTED = r""""(?:[^"\\]|\\.)*"|'(?:[^']|'')*'"""
_COMMENT = re.compile(rf"({_QUOTED})|(?:^|\s)#.*")
_ITEM = re.compile(rf"(?:{_QUOTED}|[^,\[\]{{}}\"'])+")
_FLOW = re.compile(rf"[\[{{]((?:{_QUOTED}|[^\[\]{{}}\"'])*)[\]}}]")
_KEY = re.compile(r"""(["']?)names\1\s*:(?=\s|$)""")
_NUMBERED = re.compile(r"""(["']?)(\d+)\1\s*:\s*(.*)""")


def read_names(file: Path) -> list[str] | None:
    """What the file says under ``names``: a list, or names by number, in brackets or one a line; None if nothing.

    Raises:
        FormatError: for names that are written in another way, or numbers that do not count from 0.
    """
    with clear_errors(file):
        text = file.read_text(encoding="utf-8-sig", errors="replace")
    lines = [_COMMENT.sub(lambda found: found[1] or "", line).rstrip() for line in text.splitlines()]
    start = next((i for i, line in enumerate(lines) if _KEY.match(line)), None)
    if start is None:
        return None
    first = _KEY.sub("", lines[start], count=1).strip()
    items = _items(first, lines[start + 1 :])
    numbered = [_NUMBERED.fullmatch(item) for item in items]
    if items and all(numbered):
        by_number = {int(found[2]): _plain(found[3]) for found in numbered if found}
        names = [by_number.get(i, "") for i in range(len(items))]
    else:
        names = [_plain(item) for item in items]
    if not all(names) or (not names and first not in ("{}", "[]")):
        need = "a list of names, or names by numbers that count from 0"
        raise FormatError(f"{file}:{start + 1}: names: need {need}")
    return names


def _items(first: str, lines: list[str]) -> list[str]:
    """The entries of a list or a mapping, as written."""
    if first:
        flow = _FLOW.match(" ".join([first, *lines]))
        return [item.strip() for item in _ITEM.findall(flow[1]) if item.strip()] if flow else []
    items = []
    for line in filter(None, lines):
        entry = re.fullmatch(r"(?:\s*-\s+|\s+)(\S.*)", line)
        if not entry:
            break
        items.append(entry[1])
    return items


def _plain(item: str) -> str:
    """A name without its quotes."""
    if item.startswith('"'):
        try:
            return str(json.loads(item))
        except ValueError:
            return item.strip('"')
    return item[1:-1].replace("''", "'") if item.startswith("'") else item
