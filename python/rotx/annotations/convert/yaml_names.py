"""Class names in the YAML file of a YOLO dataset."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from rotx.annotations.files import FormatError, clear_errors

if TYPE_CHECKING:
    from yaml.nodes import Node

#: Size limit in bytes; larger files are not parsed.
MOST_BYTES = 1 << 18

# Only files with such a line are parsed: the folder may hold other YAML files, not all of them valid.
_KEY = re.compile(r"""^(["']?)names\1[ \t]*:|\A\s*\{""", re.MULTILINE)


def read_names(file: Path) -> list[str] | None:
    """Reads the class names under the key ``names`` of a YAML file: a list, or a mapping from numbers to names.

    Names are taken as they are written: ``no`` and ``1`` are names, not a boolean and a number. No other part of
    the file is evaluated, so tags and aliases have no effect there.

    Returns:
        The names in order; None if the file has no key ``names``.

    Raises:
        FormatError: The file cannot be read, is not valid YAML, or holds names in another form.
    """
    with clear_errors(file), file.open("rb") as opened:
        text = opened.read(MOST_BYTES + 1).decode("utf-8-sig", errors="replace")
        size = opened.tell()
    if not _KEY.search(text):
        return None
    if size > MOST_BYTES:
        raise FormatError(f"{file}: holds names in more than {MOST_BYTES:,} bytes: keep only the class names in it")
    node = _find(file, text)
    return None if node is None else _read(file, node)


def _find(file: Path, text: str) -> Node | None:
    """The value of ``names`` in the first document. Nodes refer to aliases without copying them."""
    import yaml  # only YOLO needs it

    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_node() if loader.check_node() else None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{file}:{mark.line + 1}" if mark else str(file)
        reason = getattr(error, "problem", None) or getattr(error, "reason", None)
        raise FormatError(f"{where}: is not valid YAML{f': {reason}' if reason else ''}") from None
    except (ValueError, OverflowError) as error:  # a number out of range, of a character or a version
        raise FormatError(f"{file}: is not valid YAML: {error}") from None
    except RecursionError:
        raise FormatError(f"{file}: is nested too deeply") from None
    if not isinstance(root, yaml.MappingNode):
        return None
    return next((value for key, value in root.value if key.value == "names"), None)


def _read(file: Path, node: Node) -> list[str]:
    import yaml

    entries: list[Node] = []
    if isinstance(node, yaml.SequenceNode):
        entries = node.value
    elif isinstance(node, yaml.MappingNode):
        numbered = {key.value: name for key, name in node.value if isinstance(key, yaml.ScalarNode)}
        entries = [numbered.get(str(i), node) for i in range(len(node.value))]
    wrong = [entry for entry in entries if not isinstance(entry, yaml.ScalarNode) or not entry.value]
    if wrong or isinstance(node, yaml.ScalarNode):
        line = (wrong or [node])[0].start_mark.line + 1
        raise FormatError(f"{file}:{line}: names: need a list of names, or names by numbers that count from 0")
    return [entry.value for entry in entries]
