"""Evaluating the expressions of a config from their syntax trees to plain values. Nothing is executed."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable
from typing import Any

from rotx.config.errors import ConfigError, kind, nearest
from rotx.config.operators import MAX_TEXT, OperatorError, arithmetic, check_size, compare, format_value, weight
from rotx.config.source import MAX_DEPTH, MAX_VALUES, Source

_TEMPLATE = re.compile(r"\{\{\s*(?:(_base_\.[\w.]+|\w+)\s*|\$[^{}]*)\}\}")
_NO_ENVIRONMENT = "environment variables are not read: give the value with --cfg-options"

#: Refused expressions that occur in configs, and what to write instead.
_REFUSED: dict[type[ast.expr], str] = {
    ast.ListComp: "a comprehension is not allowed: write the values out",
    ast.DictComp: "a comprehension is not allowed: write the values out",
    ast.SetComp: "a comprehension is not allowed: write the values out",
    ast.GeneratorExp: "a comprehension is not allowed: write the values out",
    ast.Lambda: "a function is not allowed: write its value",
    ast.NamedExpr: ":= is not allowed: assign in a line of its own",
    ast.Set: "a set is not allowed: write a list",
    ast.Starred: "* is allowed only inside [] and ()",
}


class Evaluator:
    """Evaluator of the expressions of one file.

    Args:
        source: File that holds the expressions.
        base: Merged values of its bases, to which ``_base_`` refers.

    Attributes:
        names: Names assigned so far, with their values.
    """

    def __init__(self, source: Source, base: dict[str, Any]) -> None:
        self.source = source
        self.base = base
        self.names: dict[str, Any] = {}
        path = source.path.absolute()
        self.predefined = {
            "fileDirname": path.parent.as_posix(),
            "fileBasename": path.name,
            "fileBasenameNoExtension": path.stem,
            "fileExtname": path.suffix,
        }

    def value(self, node: ast.expr, depth: int = 0) -> Any:
        """Evaluates an expression; the value shares no list or dict with any other value.

        Raises:
            ConfigError: For an expression that is not allowed; names the file and the line.
        """
        self._check_depth(node, depth)
        match node:
            case ast.Constant():
                return self._constant(node)
            case ast.Name() | ast.Attribute() | ast.Subscript():
                return self.copy(self._reference(node, depth), node)
            case ast.List():
                return self._items(node, depth)
            case ast.Tuple():
                return tuple(self._items(node, depth))
            case ast.Dict():
                return self._dict(node, depth)
            case ast.Set(elts=[ast.Set(elts=[inner])]):
                return self._braces(inner, depth)
            case ast.Call():
                return self._call(node, depth)
            case ast.BinOp(left=left, op=operator, right=right):
                return self.operation(node, self.value(left, depth + 1), operator, self.value(right, depth + 1))
            case ast.UnaryOp():
                return self._unary(node, depth)
            case ast.BoolOp() | ast.Compare() | ast.IfExp():
                return self._logic(node, depth)
            case ast.JoinedStr():
                return self._formatted(node, depth)
        raise self._error(node, _REFUSED.get(type(node), f"{type(node).__name__} is not allowed: write its value"))

    def operation(self, node: ast.expr | ast.stmt, left: Any, operator: ast.operator, right: Any) -> Any:
        """Evaluates ``left operator right``, for a line of the file."""
        return self._checked(node, lambda: arithmetic(left, operator, right))

    def _error(self, node: ast.expr | ast.stmt, reason: str) -> ConfigError:
        return self.source.error(node.lineno, reason)

    def _check_depth(self, node: ast.expr | ast.stmt, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise self._error(node, f"nested too deeply: at most {MAX_DEPTH} levels are allowed")

    def _pay(self, node: ast.expr | ast.stmt, values: int) -> None:
        """Charges the budget, so that a few lines cannot make a huge config."""
        self.source.budget.values -= values
        if self.source.budget.values < 0:
            raise self._error(node, f"the config grows beyond {MAX_VALUES:,} values: shorten it")

    def copy(self, value: Any, node: ast.expr | ast.stmt, depth: int = 0) -> Any:
        """Copies a value so that nothing is shared; the copy is charged to the budget."""
        self._check_depth(node, depth)
        self._pay(node, weight(value))
        if isinstance(value, dict):
            return {key: self.copy(item, node, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return type(value)([self.copy(item, node, depth + 1) for item in value])
        return value

    def _checked(self, node: ast.expr | ast.stmt, compute: Callable[[], Any]) -> Any:
        """Computes the result of an operator and charges the budget; turns its errors into errors of the line."""
        try:
            result = compute()
            check_size(result)
        except OperatorError as error:
            raise self._error(node, str(error)) from None
        return self.copy(result, node)

    def _constant(self, node: ast.Constant) -> Any:
        value = node.value
        if not isinstance(value, str | int | float | None):
            raise self._error(node, f"{kind(value)} is not allowed: write a number, text, True, False or None")
        if isinstance(value, str) and "{{" in value:
            value = self._template(value, node)
        return self._checked(node, lambda: value)

    def _template(self, text: str, node: ast.expr) -> Any:
        """Replaces ``{{ fileDirname }}`` and the like in a text; ``{{_base_.x}}`` alone gives the value itself."""
        whole = _TEMPLATE.fullmatch(text)
        if whole:
            return self._fill(whole, node)

        length = len(text)

        def fill(match: re.Match[str]) -> str:
            nonlocal length
            value = self._fill(match, node)
            if not isinstance(value, str | int | float):
                raise self._error(node, f"{match[0]} is {kind(value)}: only text and numbers go into text")
            length += len(str(value))
            if length > 2 * MAX_TEXT:
                raise self._error(node, f"the text is longer than {MAX_TEXT:,} characters")
            return str(value)

        return _TEMPLATE.sub(fill, text)

    def _fill(self, match: re.Match[str], node: ast.expr) -> Any:
        name = match[1]
        if name is None:  # {{$NAME:default}}
            raise self._error(node, _NO_ENVIRONMENT)
        if not name.startswith("_base_."):
            return self.predefined.get(name, match[0])
        value: Any = self.base
        for key in name.split(".")[1:]:
            value = self._entry(value, key, node)
        return value

    def _braces(self, inner: ast.expr, depth: int) -> Any:
        """Evaluates ``{{_base_.x}}`` and ``{{ fileDirname }}`` outside quotes, which Python parses as nested sets."""
        if isinstance(inner, ast.Constant) and isinstance(inner.value, str) and "$" in inner.value:
            raise self._error(inner, _NO_ENVIRONMENT)
        if isinstance(inner, ast.Name) and inner.id in self.predefined:
            return self.predefined[inner.id]
        root = inner
        while isinstance(root, ast.Attribute):
            root = root.value
        if root is inner or not (isinstance(root, ast.Name) and root.id == "_base_"):
            raise self._error(inner, f"{{{{ }}}} holds _base_.name or one of {', '.join(self.predefined)}")
        return self.value(inner, depth + 1)

    def _reference(self, node: ast.expr, depth: int) -> Any:
        """Evaluates a name, an attribute or a subscript; returns the value itself, not a copy."""
        self._check_depth(node, depth)
        match node:
            case ast.Name(id="_base_"):
                if not self.base:
                    raise self._error(node, "_base_ holds nothing: begin with _base_ = ['other.py']")
                return self.base
            case ast.Name(id=name):
                if name not in self.names:
                    hint = f": write _base_.{name}" if name in self.base else nearest(name, self.names)
                    raise self._error(node, f"no {name!r} is assigned above{hint}")
                return self.names[name]
            case ast.Attribute(value=owner, attr=name):
                return self._entry(self._reference(owner, depth + 1), name, node)
            case ast.Subscript(value=owner, slice=index):
                return self._item(self._reference(owner, depth + 1), index, node, depth)
        return self.value(node, depth)

    def _entry(self, owner: Any, name: str, node: ast.expr) -> Any:
        """Evaluates ``owner.name``: an entry of a dict, never an attribute of a Python object."""
        if not isinstance(owner, dict):
            raise self._error(node, f".{name} of {kind(owner)} is not allowed: only dicts have named entries")
        if name not in owner:
            raise self._error(node, f"no entry {name!r}{nearest(name, owner)}")
        return owner[name]

    def _item(self, owner: Any, index: ast.expr, node: ast.expr, depth: int) -> Any:
        key: Any
        if isinstance(index, ast.Slice):
            key = slice(*(part and self.value(part, depth + 1) for part in (index.lower, index.upper, index.step)))
        else:
            key = self.value(index, depth + 1)
        try:
            return owner[key]
        except KeyError:
            raise self._error(node, f"no entry {key!r}{nearest(key, owner)}") from None
        except IndexError:
            raise self._error(node, f"no item {key} in {kind(owner)} of {len(owner)}") from None
        except (TypeError, ValueError):
            raise self._error(node, f"{kind(owner)} has no item {key!r}") from None

    def _items(self, node: ast.List | ast.Tuple, depth: int) -> list[Any]:
        self._pay(node, 1)
        items: list[Any] = []
        for element in node.elts:
            if isinstance(element, ast.Starred):
                more = self.value(element.value, depth + 1)
                if not isinstance(more, list | tuple):
                    raise self._error(element, f"* needs a list or a tuple, not {kind(more)}")
                items += more
            else:
                items.append(self.value(element, depth + 1))
        return items

    def _dict(self, node: ast.Dict, depth: int) -> dict[Any, Any]:
        self._pay(node, 1)
        entries: dict[Any, Any] = {}
        for key_node, value_node in zip(node.keys, node.values, strict=True):
            if key_node is None:
                entries.update(self._mapping(value_node, depth))
                continue
            key = self.value(key_node, depth + 1)
            if not isinstance(key, str | int) or isinstance(key, bool):
                raise self._error(key_node, f"a key is text or a whole number, not {kind(key)}")
            entries[key] = self.value(value_node, depth + 1)
        return entries

    def _mapping(self, node: ast.expr, depth: int) -> dict[Any, Any]:
        value = self.value(node, depth + 1)
        if not isinstance(value, dict):
            raise self._error(node, f"** needs a dict, not {kind(value)}")
        return value

    def _call(self, node: ast.Call, depth: int) -> Any:
        """Evaluates ``dict(...)``, ``float('inf')``, ``len(x)`` and ``range(n)``, the only calls that are read."""
        name = node.func.id if isinstance(node.func, ast.Name) and node.func.id not in self.names else ""
        if name == "dict" and len(node.args) <= 1:
            return self._dict_call(node, depth)
        if name == "float" and len(node.args) == 1 and not node.keywords:
            value = self.value(node.args[0], depth + 1)
            try:
                return float(value)
            except (TypeError, ValueError, OverflowError):
                raise self._error(node, f"{kind(value)} that is no number") from None
        if name == "len" and len(node.args) == 1 and not node.keywords:
            value = self.value(node.args[0], depth + 1)
            if not isinstance(value, str | list | tuple | dict):
                raise self._error(node, f"{kind(value)} has no length")
            return len(value)
        if name == "range" and 1 <= len(node.args) <= 3 and not node.keywords:
            return self._range(node, depth)
        allowed = "dict(...), len(...), range(...) and float('inf')"
        raise self._error(node, f"a call is not allowed: only {allowed} are read; write its value")

    def _range(self, node: ast.Call, depth: int) -> list[int]:
        """Evaluates ``range(...)`` to a list of its numbers."""
        limits = [self.value(argument, depth + 1) for argument in node.args]
        if any(type(limit) is not int for limit in limits):
            raise self._error(node, "range needs whole numbers")
        try:
            numbers = range(*limits)
            count = len(numbers)
        except (ValueError, OverflowError) as error:
            raise self._error(node, f"range: {error}") from None
        self._pay(node, count + 1)
        return list(numbers)

    def assign(self, target: ast.expr, value: Any) -> None:
        """Sets ``name['key']`` or ``name.key``, where the name is assigned above or is ``_base_.x``.

        Raises:
            ConfigError: If there is no such dict or list.
        """
        if not isinstance(target, ast.Subscript | ast.Attribute):
            raise self._error(target, "only names, entries and items can be assigned to")
        owner = self._reference(target.value, 1)
        key = target.attr if isinstance(target, ast.Attribute) else self.value(target.slice, 1)
        is_key = isinstance(owner, dict) and isinstance(key, str | int) and not isinstance(key, bool)
        is_place = isinstance(owner, list) and type(key) is int and -len(owner) <= key < len(owner)
        if not is_key and not is_place:
            raise self._error(target, f"{kind(owner)} takes no item {key!r}")
        owner[key] = value

    def change(self, call: ast.Call) -> None:
        """Evaluates ``name.update(...)``, ``name.append(x)`` and ``name.extend(x)``, which change a value in place.

        Raises:
            ConfigError: For any other call.
        """
        method = call.func.attr if isinstance(call.func, ast.Attribute) else ""
        if method not in ("update", "append", "extend"):
            raise self._error(call, "only assignments and .update(...), .append(...), .extend(...) are read")
        assert isinstance(call.func, ast.Attribute)
        owner = self._reference(call.func.value, 1)
        if method == "update" and isinstance(owner, dict) and len(call.args) <= 1:
            owner.update(self._dict_call(call, 1))
            return
        if method == "update" or not isinstance(owner, list) or len(call.args) != 1 or call.keywords:
            raise self._error(call, f"{kind(owner)} has no .{method}(...) of this form")
        value = self.value(call.args[0], 1)
        if method == "append":
            owner.append(value)
        elif isinstance(value, list | tuple):
            owner.extend(value)
        else:
            raise self._error(call, f".extend(...) needs a list or a tuple, not {kind(value)}")

    def _dict_call(self, node: ast.Call, depth: int) -> dict[Any, Any]:
        self._pay(node, 1)
        entries = self._mapping(node.args[0], depth) if node.args else {}
        given: set[Any] = set()
        for keyword in node.keywords:
            if keyword.arg is None:
                more = self._mapping(keyword.value, depth)
            else:
                more = {keyword.arg: self.value(keyword.value, depth + 1)}
            twice = [key for key in more if key in given]
            if twice:
                raise self._error(keyword.value, f"{twice[0]!r} is given twice in dict(...)")
            given.update(more)
            entries.update(more)
        return entries

    def _unary(self, node: ast.UnaryOp, depth: int) -> Any:
        operand = self.value(node.operand, depth + 1)
        if isinstance(node.op, ast.Not):
            return not operand
        if isinstance(node.op, ast.Invert) or not isinstance(operand, int | float):
            raise self._error(node, f"{type(node.op).__name__} of {kind(operand)} is not allowed: write the value")
        return -operand if isinstance(node.op, ast.USub) else +operand

    def _logic(self, node: ast.BoolOp | ast.Compare | ast.IfExp, depth: int) -> Any:
        """Evaluates ``and``, ``or``, comparisons and ``a if c else b``, and only the operands that decide."""
        if isinstance(node, ast.IfExp):
            return self.value(node.body if self.value(node.test, depth + 1) else node.orelse, depth + 1)
        if isinstance(node, ast.BoolOp):
            value: Any = None
            for part in node.values:
                value = self.value(part, depth + 1)
                if bool(value) is isinstance(node.op, ast.Or):
                    break
            return value
        left = self.value(node.left, depth + 1)
        for operator, comparator in zip(node.ops, node.comparators, strict=True):
            right = self.value(comparator, depth + 1)
            try:
                if not compare(left, operator, right):
                    return False
            except OperatorError as error:
                raise self._error(node, str(error)) from None
            left = right
        return True

    def _formatted(self, node: ast.JoinedStr, depth: int) -> str:
        """Evaluates an f-string."""
        text = ""
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                value = self.value(part.value, depth + 1)
                spec = self.value(part.format_spec, depth + 1) if part.format_spec else ""
                try:
                    text += format_value(value, part.conversion, spec)
                except OperatorError as error:
                    raise self._error(node, str(error)) from None
            elif isinstance(part, ast.Constant):
                text += str(part.value)  # literal text: {{ is a brace here
            self._checked(node, lambda made=text: made)  # type: ignore[misc]
        return text
