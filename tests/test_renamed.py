"""Modules and names that have moved: code written for the version before still runs, and is told."""

import importlib
import sys

import pytest

from rotx.renamed import MODULES, NAMES


@pytest.mark.parametrize("old", MODULES)
def test_old_modules_stand_for_the_new_ones(old: str) -> None:
    if old in ("data.loader",):
        pytest.importorskip("torch")
    for name in [name for name in sys.modules if name == f"rotx.{old}"]:
        del sys.modules[name]
    with pytest.warns(DeprecationWarning, match=f"rotx.{old} is now rotx.{MODULES[old]};"):
        module = importlib.import_module(f"rotx.{old}")
    new = importlib.import_module(f"rotx.{MODULES[old]}")
    public = [name for name in vars(new) if not name.startswith("_")]
    assert all(getattr(module, name) is getattr(new, name) for name in public)


@pytest.mark.parametrize(("old", "new"), NAMES.items())
def test_old_names_stand_for_the_new_ones(old: tuple[str, str], new: tuple[str, str]) -> None:
    pytest.importorskip("torch")
    with pytest.warns(DeprecationWarning):
        sys.modules.pop(f"rotx.{old[0]}", None)
        module = importlib.import_module(f"rotx.{old[0]}")
        value = getattr(module, old[1])
    assert value is getattr(importlib.import_module(f"rotx.{new[0]}"), new[1])


def test_no_new_module_has_an_old_name() -> None:
    assert not set(MODULES) & set(MODULES.values())


def test_an_unknown_module_stays_unknown() -> None:
    with pytest.raises(ModuleNotFoundError, match=r"rotx\.data\.nothing"):
        importlib.import_module("rotx.data.nothing")
