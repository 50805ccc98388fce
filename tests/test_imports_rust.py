"""Who uses whom in the Rust core: no files in a circle."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

CRATE = Path(__file__).parents[1] / "rust" / "core" / "src"

USE = re.compile(r"^\s*(?:pub(?:\([^)]*\))? )?use ((?:crate|super)\b[^;]*);", re.MULTILINE)


def expanded(path: str) -> list[str]:
    """All that one `use` names: ``a::{b, c::{d, e}}`` → ``a::b``, ``a::c::d``, ``a::c::e``."""
    before, brace, rest = path.partition("{")
    if not brace:
        return [path.strip()]
    parts, depth, start = [], 0, 0
    inside = rest[: rest.rindex("}")]
    for i, sign in enumerate(inside + ","):
        depth += (sign == "{") - (sign == "}")
        if sign == "," and depth == 0:
            parts.append(inside[start:i].strip())
            start = i + 1
    return [name for part in parts if part for name in expanded(before.strip() + part)]


def module_of(names: list[str], crate: dict[str, str]) -> str:
    """The longest beginning of a path that is a module: the rest names what stands in it."""
    while "::".join(names) not in crate:
        names = names[:-1]
    return "::".join(names)


def graph(crate: dict[str, str]) -> dict[str, set[str]]:
    """From each module those that it uses outside its tests; a module and those within it count as one house."""
    uses: dict[str, set[str]] = {}
    for module, source in crate.items():
        found = set()
        for statement in USE.findall(source.partition("#[cfg(test)]")[0]):
            for path in expanded(" ".join(statement.split())):
                names, here = path.split("::"), module.split("::")
                while names[0] in ("super", "crate"):
                    here = here[:-1] if names[0] == "super" else ["crate"]
                    names = names[1:] or [""]
                found.add(module_of([*here, *names], crate))
        uses[module] = {other for other in found if not f"{module}::".startswith(f"{other}::")}
    return uses


def circle(uses: dict[str, set[str]]) -> list[str]:
    """Modules that use each other in turn, the first one again at the end; empty if there are none."""
    done: set[str] = set()

    def walk(module: str, way: list[str]) -> list[str]:
        if module in way:
            return [*way[way.index(module) :], module]
        if module in done:
            return []
        for other in sorted(uses[module]):
            if found := walk(other, [*way, module]):
                return found
        done.add(module)
        return []

    return next(filter(None, (walk(module, []) for module in sorted(uses))), [])


def sources() -> dict[str, str]:
    """The source of each module, by its path from `crate`."""
    found = {}
    for file in sorted(CRATE.rglob("*.rs")):
        names = file.relative_to(CRATE).with_suffix("").parts
        names = names[:-1] if names[-1] in ("mod", "lib") else names
        found["::".join(("crate", *names))] = file.read_text(encoding="utf-8")
    return found


def test_no_modules_use_each_other_in_a_circle() -> None:
    uses = graph(sources())
    assert circle(uses) == []
    # The graph is not empty: some of what is known to be there.
    assert {"crate::bounds", "crate::along_x", "crate::geom", "crate::lanes", "crate::threads"} <= uses["crate::iou"]
    assert "crate::image_io::whole" in uses["crate::image_io::png"]
    assert "crate::image_io::ifd" in uses["crate::image_io::tiff::pixels"]


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("use crate::b::X;", "use crate::a::Y;", True),
        ("use crate::b::{\n    self,\n    X,\n};", "use super::a;", True),
        ("use crate::{b, c::Z};", "pub(crate) use crate::{c::{Z}, a::Y};", True),
        ("use crate::b::X;", "use crate::c::Z;\n#[cfg(test)]\nmod tests {\n    use crate::a::Y;\n}", False),
        ("use crate::b::X;", "/// [`crate::a`]\nuse std::fmt;", False),
    ],
)
def test_a_circle_is_found(one: str, other: str, found: bool) -> None:
    crate = {"crate": "mod a;", "crate::a": one, "crate::b": other, "crate::c": "use crate::d::W;", "crate::d": ""}
    assert circle(graph(crate)) == (["crate::a", "crate::b", "crate::a"] if found else [])
