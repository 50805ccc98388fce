"""Names in configs become objects: the table, building children first, errors with the path, plug-ins."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import rotx
from rotx import registry
from rotx.registry import TABLE, build, load_plugins, register, resolve


@pytest.fixture(autouse=True)
def own_names() -> Iterator[None]:
    """What a test registers is forgotten after it."""
    before = dict(registry._registered)
    yield
    registry._registered.clear()
    registry._registered.update(before)


@dataclass
class Toy:
    width: int
    children: Any = ()
    name: str = "toy"

    def __post_init__(self) -> None:
        if self.width < 0:
            raise ValueError(f"width must not be negative, got {self.width}")


def test_the_table_names_modules_of_rotx_only() -> None:
    for name, entry in TABLE.items():
        assert re.fullmatch(r"rotx(\.[a-z_0-9]+)+:\w+", entry), f"{name}: {entry}"
        assert name.isidentifier()


def test_importing_the_registry_imports_nothing_else_of_rotx() -> None:
    code = "import sys, rotx.registry; print([m for m in sorted(sys.modules) if m.startswith('rotx') or m == 'torch'])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "['rotx', 'rotx.registry', 'rotx.renamed']"


def test_an_entry_is_imported_when_it_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TABLE, "Fraction", "fractions:Fraction")
    assert str(build({"type": "Fraction", "numerator": 3, "denominator": 6})) == "1/2"


def test_children_are_built_first() -> None:
    register(Toy)
    inner = {"type": "Toy", "width": 2}
    built = build({"type": "Toy", "width": 1, "children": [inner, (inner, 3), {"a": inner}, None]})
    assert built == Toy(1, [Toy(2), (Toy(2), 3), {"a": Toy(2)}, None])
    assert inner == {"type": "Toy", "width": 2}


def test_what_is_no_config_stays() -> None:
    toy = Toy(1)
    assert build(toy) is toy
    assert build({"a": [1, (2.0, "x")], "b": None}) == {"a": [1, (2.0, "x")], "b": None}


@pytest.mark.parametrize("scope", ["", *registry.SCOPES])
def test_scopes(scope: str) -> None:
    register(Toy)
    assert resolve(f"{scope}Toy") is Toy


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"type": "Toi", "width": 1}, "model: unknown type 'Toi': did you mean 'Toy'?"),
        ({"type": "mmdet.RetinaNett"}, "model: unknown type 'mmdet.RetinaNett': did you mean 'RetinaNet'?"),
        ({"type": "os.system", "command": "true"}, "model: unknown type 'os.system'"),
        ({"type": "rotx.registry:load_plugins", "modules": []}, "model: unknown type 'rotx.registry:load_plugins'"),
        ({"type": "Toy", "widht": 1}, "model: Toy takes no 'widht': did you mean 'width'?"),
        ({"type": "Toy", "width": 1, "zzz": 1}, "model: Toy takes no 'zzz': known are children, name, width"),
        ({"type": "Toy", "width": 1, 0: 1}, "model: Toy takes no 0: known are children, name, width"),
        ({"type": "Toy"}, "model: Toy needs 'width'"),
        ({"type": "Toy", "width": -1}, "model (Toy): width must not be negative, got -1"),
        ({"type": 3}, "model: type must be a name, got 3"),
        ({"type": None}, "model: type must be a name, got None"),
        ({"a": [{}, {"b": {"type": "Toy"}}]}, "model.a.1.b: Toy needs 'width'"),
        ({"type": "Toy", "width": 1, "children": ({"type": "Nothing"},)}, "model.children.0: unknown type 'Nothing'"),
    ],
)
def test_errors_say_the_path_and_the_nearest_name(config: dict[str, Any], message: str) -> None:
    register(Toy)
    with pytest.raises(ValueError, match=re.escape(message)) as caught:
        build(config, "model")
    assert str(caught.value).startswith("model") and "\n" not in str(caught.value)


def test_any_keyword_is_passed_to_a_function_that_takes_any() -> None:
    @register
    def anything(first: int, **others: int) -> dict[str, int]:
        return {"first": first, **others}

    assert build({"type": "anything", "first": 1, "x": 2}) == {"first": 1, "x": 2}
    with pytest.raises(ValueError, match="config: anything needs 'first'"):
        build({"type": "anything", "x": 2})


def test_register_is_public_and_returns_its_argument() -> None:
    assert rotx.register is register
    assert register(Toy) is Toy


def test_a_name_is_taken_once() -> None:
    register(Toy)
    other = type("Toy", (), {"__module__": "somewhere.else"})
    with pytest.raises(ValueError, match=f"the name 'Toy' is taken by {__name__}: choose another"):
        register(other)
    with pytest.raises(ValueError, match=r"the name 'RetinaNet' is taken by rotx\.models\.detectors"):
        register(type("RetinaNet", (), {}))
    assert resolve("Toy") is Toy


def test_a_module_that_is_imported_again_replaces_its_own() -> None:
    register(Toy)
    again = type("Toy", (), {"__module__": __name__})
    assert register(again) is again
    assert resolve("Toy") is again


def test_only_classes_and_functions_are_registered() -> None:
    with pytest.raises(TypeError, match="register: need a class or a function, got 3"):
        register(3)  # type: ignore[type-var]


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def test_plugins_register_what_they_add(plugins: Path) -> None:
    text = "from rotx import register\n@register\nclass PluginToy:\n    def __init__(self, a): self.a = a\n"
    (plugins / "rotx_test_plugin.py").write_text(text)
    load_plugins(["rotx_test_plugin"])
    assert build({"type": "PluginToy", "a": 1}).a == 1
    importlib.reload(sys.modules["rotx_test_plugin"])
    assert build({"type": "PluginToy", "a": 2}).a == 2


@pytest.mark.parametrize("name", ["rotx_no_such_plugin", "rotx_no_such_package.module", "json.no_such_module"])
def test_an_absent_plugin(name: str) -> None:
    with pytest.raises(ImportError, match=f"plugin '{name}': no such module"):
        load_plugins([name])


@pytest.mark.parametrize("name", ["plugins/toy.py", "toy.py", "", ".toy", "a b"])
def test_a_plugin_is_named_by_its_module(name: str) -> None:
    with pytest.raises(ImportError, match="need the name of a module"):
        load_plugins([name])


def test_what_a_plugin_lacks_is_not_taken_for_the_plugin(plugins: Path) -> None:
    (plugins / "rotx_lacking_plugin.py").write_text("import rotx_something_absent\n")
    with pytest.raises(ModuleNotFoundError, match="rotx_something_absent") as caught:
        load_plugins(["rotx_lacking_plugin"])
    assert "plugin" not in str(caught.value)


@pytest.mark.parametrize("name", ["SARDataset", "mmrotate.SODADataset", "MyShipDataset", "FAIRDataset", "VOCDataset"])
def test_an_unknown_dataset_names_the_way_out(name: str) -> None:
    with pytest.raises(ValueError, match=r"unknown type .*: use the type of its format, such as DOTADataset"):
        registry.resolve(name)
    with pytest.raises(ValueError, match="did you mean 'DOTADataset'"):
        registry.resolve("DOTADatasett")
