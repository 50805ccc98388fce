"""Statements of a config: assignments to names, and ``_base_``."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Any

from rotx.config.errors import kind
from rotx.config.values import Evaluator

#: Refused statements that occur in configs, and what to write instead.
_REFUSED: dict[type[ast.stmt], str] = {
    ast.Import: "import is not allowed, for nothing is executed: name modules of yours with --plugin",
    ast.ImportFrom: "import is not allowed, for nothing is executed: name another config in _base_ = ['other.py']",
    ast.With: "with is not allowed: instead of read_base() write _base_ = ['other.py']",
    ast.FunctionDef: "a function is not allowed: write its value",
    ast.ClassDef: "a class is not allowed: register it in a module that --plugin names",
    ast.For: "a loop is not allowed: write the values out",
    ast.While: "a loop is not allowed: write the values out",
    ast.If: "an if statement is not allowed: write name = a if condition else b",
    ast.AnnAssign: "an annotation is not allowed: write name = value",
    ast.Expr: "only assignments are read: write name = value",
}


def bases(tree: ast.Module, evaluator: Evaluator) -> list[tuple[str, int]]:
    """Returns the paths in ``_base_ = ...`` as written, each with its line.

    Raises:
        ConfigError: If they are not paths, or there are two such lines.
    """
    found = [node for node in tree.body if isinstance(node, ast.Assign) and _names_base(node)]
    if not found:
        return []
    line = found[0].lineno
    if len(found) > 1:
        raise evaluator.source.error(
            found[1].lineno, f"_base_ is assigned in line {line} already: name all bases there"
        )
    value = evaluator.value(found[0].value)
    paths = value if isinstance(value, list | tuple) else [value]
    for path in paths:
        if not isinstance(path, str):
            raise evaluator.source.error(line, f"_base_ must be a path or a list of paths, not {kind(path)}")
        if "://" in path:
            raise evaluator.source.error(line, f"_base_ {path!r}: only files are read; copy it and give its path")
    return [(path, line) for path in paths]


def run(tree: ast.Module, evaluator: Evaluator, variables: Mapping[str, Any]) -> dict[str, int]:
    """Reads the assignments in order into ``evaluator.names``; returns the last line of each name.

    ``variables`` replaces the values of these names wherever the file assigns them.

    Raises:
        ConfigError: For any other statement.
    """
    lines: dict[str, int] = {}
    for node in tree.body:
        match node:
            case ast.Assign() if not _names_base(node):
                bound = _assigned(node, evaluator)
            case ast.AugAssign(target=ast.Name(id=name)) if name in evaluator.names:
                value = evaluator.value(node.value)
                bound = {name: evaluator.operation(node, evaluator.names[name], node.op, value)}
            case ast.AugAssign(target=ast.Subscript() | ast.Attribute()):
                old, value = evaluator.value(node.target), evaluator.value(node.value)
                evaluator.assign(node.target, evaluator.operation(node, old, node.op, value))
                continue
            case ast.Expr(value=ast.Call(func=ast.Attribute()) as call):
                evaluator.change(call)
                continue
            case ast.Assign() | ast.Pass() | ast.Expr(value=ast.Constant(value=str())):
                continue
            case _:
                default = f"{type(node).__name__} is not allowed: write name = value"
                raise evaluator.source.error(node.lineno, _REFUSED.get(type(node), default))
        bound |= {name: evaluator.copy(variables[name], node) for name in bound if name in variables}
        evaluator.names.update(bound)
        lines.update(dict.fromkeys(bound, node.lineno))
    return lines


def _names_base(node: ast.Assign) -> bool:
    return any(isinstance(target, ast.Name) and target.id == "_base_" for target in node.targets)


def _assigned(node: ast.Assign, evaluator: Evaluator) -> dict[str, Any]:
    """Returns the names that an assignment binds, with their values; assigns to entries and items at once."""
    value = evaluator.value(node.value)
    bound: dict[str, Any] = {}
    for place, target in enumerate(node.targets):
        if place:
            value = evaluator.copy(value, node)  # a = b = [] makes two lists
        if isinstance(target, ast.Name):
            bound[target.id] = value
            continue
        if isinstance(target, ast.Subscript | ast.Attribute):
            evaluator.assign(target, value)
            continue
        names = target.elts if isinstance(target, ast.Tuple | ast.List) else []
        if not names or not all(isinstance(name, ast.Name) for name in names):
            raise evaluator.source.error(
                node.lineno, "only names can be assigned to: write the whole value of the name"
            )
        if not isinstance(value, list | tuple) or len(value) != len(names):
            raise evaluator.source.error(node.lineno, f"needs {len(names)} values on the right")
        for name, item in zip(names, value, strict=True):
            assert isinstance(name, ast.Name)
            bound[name.id] = item
    return bound
