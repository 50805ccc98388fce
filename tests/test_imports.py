"""Who imports whom: the package stays light, and its parts depend on each other in one direction only."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import rotx

PACKAGE = Path(rotx.__file__).parent

# The rooms from the top down. A room imports from rooms below its own line alone; those on one line are siblings.
ROOMS = (
    ("rotx", "__main__"),
    ("cli",),
    ("engine", "inference"),
    ("evaluation",),
    ("models",),
    ("datasets",),
    ("tiling",),
    ("annotations",),
    ("images",),
    ("compat",),
    ("records",),
    ("boxes",),
    ("ops",),
    ("config", "registry", "geometry", "atomic", "renamed"),
    ("_rust", "_lib", "__version__"),
)
LEVELS = {room: level for level, rooms in enumerate(ROOMS) for room in rooms}
# Rooms that import less than their line allows.
ALONE = {"config": set(), "registry": set(), "atomic": set(), "renamed": set(), "compat": {"config", "registry"}}

# Rooms that work without torch, whole or all but what runs a detector; `cli` imports it only when a command runs.
TORCH_FREE = {"rotx", "annotations", "atomic", "boxes", "compat", "config", "datasets", "geometry", "images", "records"}
TORCH_FREE |= {"registry", "renamed", "tiling", "evaluation"}
TORCH_LATE = {"cli", "boxes", "records", "evaluation"}
NEEDS_TORCH = {"rotx.datasets.loader", "rotx.evaluation.detect", "rotx.evaluation.pictures", "rotx.evaluation.setup"}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def room(module: str) -> str:
    """The room a module of rotx is in: ``rotx.tiling.split.folder`` → ``tiling``."""
    return module.split(".")[1] if "." in module else "rotx"


def imported(name: str, source: str) -> set[str]:
    """Dotted names of all modules that a module's source imports, wherever the statement stands."""
    found = set()
    package = name if MODULES.get(name, Path()).name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*parents, *filter(None, [node.module])])
            for alias in node.names:
                full = f"{base}.{alias.name}"
                found.add(full if base == "rotx" or full in MODULES else base)
    return found


def violations(name: str, source: str) -> list[str]:
    """What a module imports against the order, a sentence each."""
    here = room(name)
    if here not in LEVELS:
        return [f"{name}: '{here}' has no place in the order yet: add it to ROOMS"]
    wrong = []
    for other in sorted(imported(name, source)):
        there = room(other)
        if other.split(".")[0] == "rotx":
            below = there in LEVELS and LEVELS[there] > LEVELS[here]
            if there != here and not (below and there in ALONE.get(here, {there})):
                wrong.append(f"{name}: '{here}' must not import {other}")
        elif other.split(".")[0] in ("torch", "torchvision") and light(name):
            wrong.append(f"{name}: '{here}' must work without {other}")
    return wrong


def light(name: str) -> bool:
    """Whether a module may not even name torch; in TORCH_LATE a function may import it when it is called."""
    return room(name) in TORCH_FREE - TORCH_LATE and name not in NEEDS_TORCH


def circles(graph: dict[str, set[str]]) -> list[list[str]]:
    """The groups of modules that import each other, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for other in sorted(graph[name]):
            if other not in index:
                visit(other)
                low[name] = min(low[name], low[other])
            elif other in stack:
                low[name] = min(low[name], index[other])
        if low[name] == index[name]:
            group = [stack.pop()]
            while group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in graph:
        if name not in index:
            visit(name)
    return found


def import_graph() -> dict[str, set[str]]:
    """Which modules of rotx each imports; what a type checker alone imports does not count."""
    graph = {}
    for name, path in MODULES.items():
        if name != "rotx":  # names its public modules and loads them when they are used
            source = path.read_text(encoding="utf-8")
            graph[name] = imported(name, source) & MODULES.keys() - {name, "rotx"}
    return graph


def test_no_modules_import_each_other() -> None:
    assert circles(import_graph()) == []


def test_circles_are_found() -> None:
    assert circles({"a": {"b"}, "b": {"c"}, "c": {"a"}, "d": {"a"}}) == [["a", "b", "c"]]
    assert circles({"a": {"b"}, "b": set(), "c": {"a", "b"}}) == []


def test_class_names_are_unique() -> None:
    where: dict[str, list[str]] = {}
    for name, path in MODULES.items():
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                where.setdefault(node.name, []).append(name)
    assert {name: modules for name, modules in where.items() if len(modules) > 1} == {}


# An index of the last dimension of an array compared with the width of a kind of boxes.
KIND_TEST = re.compile(r"shape\[-?1\]\s*(==|!=|in|not in)\s*([({\[]?\s*[458]\b|width)")


def test_kinds_are_told_by_their_value_outside_boxes() -> None:
    found = [
        f"{name}:{number}"
        for name, path in MODULES.items()
        if room(name) not in ("boxes", "geometry", "ops")
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if KIND_TEST.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("name", MODULES)
def test_imports_follow_the_order(name: str) -> None:
    assert violations(name, MODULES[name].read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("name", "source", "wrong"),
    [
        ("rotx.registry", "import rotx.geometry", "'registry' must not import rotx.geometry"),
        ("rotx.config", "from rotx import __version__", "'config' must not import rotx.__version__"),
        ("rotx.compat.parts", "from rotx.records import Instances", "'compat' must not import rotx.records"),
        ("rotx.compat.parts", "from rotx.config import read", None),
        ("rotx.models.heads", "from rotx.evaluation import x", "'models' must not import rotx.evaluation"),
        ("rotx.models.heads", "from rotx.engine.hooks import x", "'models' must not import rotx.engine.hooks"),
        ("rotx.ops.iou", "def f():\n    from ..models import x", "'ops' must not import rotx.models"),
        ("rotx.ops.iou", "from rotx.boxes import convert", "'ops' must not import rotx.boxes"),
        ("rotx.annotations.dota", "import torch.nn", "'annotations' must work without torch.nn"),
        ("rotx.annotations.dota", "from rotx.datasets import x", "'annotations' must not import rotx.datasets"),
        ("rotx.engine.trainer", "from rotx.inference import load", "'engine' must not import rotx.inference"),
        ("rotx.evaluation.dota", "from . import x\nfrom rotx.annotations.formats import read", None),
        ("rotx.evaluation.dota", "from rotx import __version__", None),
        ("rotx.geometry", "from rotx import _rust", None),
        ("rotx.config", "from rotx.compat import load_config", "'config' must not import rotx.compat"),
        ("rotx.compat.parts", "from rotx import models", "'compat' must not import rotx.models"),
        ("rotx.cli.eval", "import rotx", "'cli' must not import rotx"),
        ("rotx.cli.eval", "from rotx import evaluate", "'cli' must not import rotx.evaluate"),
        ("rotx.cli.train", "def main():\n    import torch\n    from rotx.engine import trainer", None),
        ("rotx.misc", "", "'misc' has no place in the order yet"),
    ],
)
def test_the_order_is_held(name: str, source: str, wrong: str | None) -> None:
    found = violations(name, source)
    assert (found == []) if wrong is None else (len(found) == 1 and wrong in found[0])


def test_files_of_the_models_are_short() -> None:
    lengths = {name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name: lines for name, lines in lengths.items() if room(name) == "models" and lines > 500} == {}


def bases_of_ours(cls: type) -> list[str]:
    """The classes of rotx that a class inherits from; protocols say what fits, nothing is inherited from them."""
    return [c.__name__ for c in cls.__mro__[1:] if c.__module__.startswith("rotx.") and not is_protocol(c)]


def is_protocol(cls: type) -> bool:
    return bool(getattr(cls, "_is_protocol", False))


def test_no_class_of_the_models_is_deeper_than_one_base_of_ours() -> None:
    pytest.importorskip("torch")
    classes = {
        value
        for name in MODULES
        if room(name) == "models"
        for value in vars(importlib.import_module(name)).values()
        if isinstance(value, type) and value.__module__ == name
    }
    depths = {cls: len(bases_of_ours(cls)) for cls in classes}
    assert {cls.__name__ for cls, depth in depths.items() if depth > 1} == set()
    assert {"RetinaHead", "GDLoss", "SingleStage"} <= {cls.__name__ for cls in classes}
    assert 1 in depths.values()  # the losses have theirs


def fresh_interpreter(code: str) -> str:
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.strip()


def test_import_rotx_loads_neither_numpy_nor_torch() -> None:
    assert fresh_interpreter("import sys, rotx; print({'numpy', 'torch'} & set(sys.modules) or '')") == ""


def test_no_torch_until_it_is_needed() -> None:
    light = [name for name in MODULES if room(name) in TORCH_FREE | TORCH_LATE and name not in NEEDS_TORCH]
    assert {"rotx", "rotx.geometry", "rotx.evaluation", "rotx.cli"} <= set(light)
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules: sys.exit(f'{name} imports torch')\n"
    )
    assert fresh_interpreter(code) == ""
