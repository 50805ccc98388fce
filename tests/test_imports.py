"""Who imports whom: the package stays light, and its parts depend on each other in one direction only."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import rotx

PACKAGE = Path(rotx.__file__).parent

# Parts of the package that work without torch. `cli` may import it, but only when a command runs.
TORCH_FREE = {"rotx", "config", "registry", "compat", "geometry", "evaluation", "data.formats", "data.split"}
TORCH_FREE |= {
    "atomic",
    "data.archives",
    "data.browse",
    "data.check",
    "data.convert",
    "data.files",
    "data.image_files",
    "data.sniff",
    "data.synthetic",
    "data.tiling",
    "inference.outputs",
    "inference.prediction",
    "visualize",
}
TORCH_LATE = {"cli"}

# Each part and the parts it may import from, besides itself; from the bottom up. A part is a module or a
# package with all in it; `data.formats` and `data.split` are parts of their own. `config` and `registry`
# import nothing of rotx, `models` no data and no engine, `evaluation` neither models nor torch.
NUMBERS = {"_rust", "geometry", "__version__"}
TENSORS = NUMBERS | {"boxes", "ops"}
FLOOR = TENSORS | {"config", "registry", "compat"}
MIDDLE = FLOOR | {"evaluation", "models", "data", "data.formats", "data.split", "data.synthetic", "data.tiling"}
MIDDLE |= {"data.convert", "data.image_files"}
MAY_IMPORT = {
    "config": set(),
    "registry": set(),
    "compat": {"config", "registry"},
    "atomic": set(),
    "geometry": {"_rust"},
    "visualize": {"geometry"},
    "boxes": TENSORS,
    "ops": TENSORS,
    "data.archives": set(),
    "data.files": {"data.archives"},
    "data.sniff": {"data.files"},
    "data.formats": NUMBERS | {"config", "registry", "data.files", "data.sniff"},
    "data.tiling": {"_rust"},
    "data.image_files": set(),
    "data.convert": NUMBERS | {"atomic", "data", "data.files", "data.formats", "data.image_files", "data.sniff"},
    "data.split": NUMBERS | {"atomic", "config", "data.formats", "data.image_files", "data.tiling"},
    "data.synthetic": {"atomic"},
    "data": FLOOR
    | {"atomic", "data.files", "data.formats", "data.image_files", "data.sniff", "data.split"}
    | {"data.tiling", "evaluation"},
    "data.check": NUMBERS
    | {
        "atomic",
        "config",
        "registry",
        "compat",
        "data",
        "data.convert",
        "data.formats",
        "data.image_files",
        "data.sniff",
    },
    "data.browse": {"atomic", "compat", "data", "data.check", "data.image_files", "visualize"},
    "evaluation": NUMBERS | {"config", "registry", "compat", "atomic", "data.files", "data.formats", "data.tiling"},
    "models": FLOOR,
    "engine": MIDDLE | {"inference", "atomic", "visualize"},
    "inference.prediction": {"geometry"},
    "inference.outputs": NUMBERS
    | {"atomic", "data", "data.image_files", "evaluation"}
    | {"inference.prediction", "visualize"},
    "inference": MIDDLE | {"atomic", "inference.outputs", "inference.prediction", "visualize"},
    "cli": MIDDLE | {"data.browse", "data.check", "engine", "inference", "inference.outputs", "atomic"},
    # The package itself names its public modules and loads them when they are used.
    "rotx": MIDDLE | {"engine", "inference"},
}


def modules() -> dict[str, Path]:
    """Every module of the package by its dotted name."""
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def part(module: str) -> str:
    """The part a module of rotx belongs to: ``rotx.data.formats.dota`` → ``data.formats``."""
    if module == "rotx":
        return "rotx"
    names = module.split(".")[1:]
    longer = ".".join(names[:2])
    return longer if longer in MAY_IMPORT else names[0]


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
    here = part(name)
    if here not in MAY_IMPORT:
        return [f"{name}: '{here}' has no place in the order yet: add it to MAY_IMPORT"]
    wrong = []
    for other in sorted(imported(name, source)):
        if other.split(".")[0] == "rotx":
            if part(other) not in MAY_IMPORT[here] | {here}:
                wrong.append(f"{name}: '{here}' must not import {other}")
        elif other.split(".")[0] in ("torch", "torchvision") and here in TORCH_FREE:
            wrong.append(f"{name}: '{here}' must work without {other}")
    return wrong


@pytest.mark.parametrize("name", MODULES)
def test_imports_follow_the_order(name: str) -> None:
    assert not violations(name, MODULES[name].read_text(encoding="utf-8"))


@pytest.mark.parametrize(
    ("name", "source", "wrong"),
    [
        ("rotx.registry", "import rotx.geometry", "'registry' must not import rotx.geometry"),
        ("rotx.config", "from rotx import __version__", "'config' must not import rotx.__version__"),
        ("rotx.models.heads", "from rotx.data import formats", "'models' must not import rotx.data"),
        (
            "rotx.models.heads",
            "from rotx.engine.hooks import x",
            "'models' must not import rotx.engine.hooks",
        ),
        ("rotx.ops.iou", "def f():\n    from ..models import x", "'ops' must not import rotx.models"),
        ("rotx.evaluation.dota", "import torch.nn", "'evaluation' must work without torch.nn"),
        ("rotx.evaluation.dota", "from rotx import ops", "'evaluation' must not import rotx.ops"),
        ("rotx.evaluation.dota", "from rotx.data import dataset", "'evaluation' must not import rotx.data"),
        ("rotx.evaluation.dota", "from . import x\nfrom rotx.data.formats import read", None),
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
    assert {name: lines for name, lines in lengths.items() if part(name) == "models" and lines > 500} == {}


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
        if part(name) == "models"
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
    light = [name for name in MODULES if part(name) in TORCH_FREE | TORCH_LATE and not name.endswith("__main__")]
    assert {"rotx", "rotx.geometry", "rotx.evaluation", "rotx.cli"} <= set(light)
    code = (
        "import importlib, sys\n"
        f"for name in {light!r}:\n"
        "    importlib.import_module(name)\n"
        "    if 'torch' in sys.modules: sys.exit(f'{name} imports torch')\n"
    )
    assert fresh_interpreter(code) == ""
