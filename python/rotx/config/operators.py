"""Operators that a config may use, each with a limit on the size of its result."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from typing import Any

from rotx.config.errors import kind

#: Greatest number of bits of an integer.
MAX_BITS = 4096
#: Greatest number of characters of a text.
MAX_TEXT = 100_000
#: Greatest length of a list made by repetition; the budget of the config limits it further.
MAX_REPEATED = 100_000

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: operator.pow,
}
_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
    ast.In: lambda a, b: a in b,
    ast.NotIn: lambda a, b: a not in b,
}
_FORMAT = re.compile(r"0?\d{0,2}(\.\d{1,2})?[dfegs%]?")


class OperatorError(ValueError):
    """Error of an operator that refuses its operands."""


def weight(value: Any) -> int:
    """Cost of one value in a config's budget, without its items: 1, plus 1 for each 100 characters."""
    return 1 + len(value) // 100 if isinstance(value, str) else 1


def check_size(value: Any) -> None:
    """Raises OperatorError for an integer or a text that is too long."""
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise OperatorError("the number is too large")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise OperatorError(f"the text is longer than {MAX_TEXT:,} characters")


def arithmetic(a: Any, op: ast.operator, b: Any) -> Any:
    """Computes ``a op b`` for numbers; ``+`` also joins texts, lists and tuples, and ``*`` repeats them.

    Raises:
        OperatorError: For other operands, a division by zero, or a result that is too large.
    """
    if type(op) not in OPERATORS:
        raise OperatorError(f"the operator {type(op).__name__} is not allowed: write the value")
    numbers = isinstance(a, int | float) and isinstance(b, int | float)
    joins = isinstance(op, ast.Add) and type(a) is type(b) and isinstance(a, str | list | tuple)
    repeats = isinstance(op, ast.Mult) and (_repeatable(a, b) or _repeatable(b, a))
    if not (numbers or joins or repeats):
        hint = ": write text with f'{name}'" if isinstance(a, str) else ""
        raise OperatorError(f"{type(op).__name__} of {kind(a)} and {kind(b)} is not allowed{hint}")
    if repeats:
        sequence, times = (a, b) if isinstance(b, int) else (b, a)
        if len(sequence) * times > (MAX_TEXT if isinstance(sequence, str) else MAX_REPEATED):
            raise OperatorError(f"{times} repetitions are too many")
    if isinstance(op, ast.Pow) and isinstance(a, int) and isinstance(b, int) and a.bit_length() * b > MAX_BITS:
        # Powers of 1 and -1 stay small, but no config needs such an exponent.
        raise OperatorError("the power is too large")
    try:
        result = OPERATORS[type(op)](a, b)
    except ArithmeticError as error:
        raise OperatorError(f"no result: {error}") from None
    if not isinstance(result, int | float | str | list | tuple):
        raise OperatorError(f"the result is {kind(result)}")
    check_size(result)
    return result


def _repeatable(sequence: Any, times: Any) -> bool:
    return isinstance(sequence, str | list | tuple) and isinstance(times, int) and not isinstance(times, bool)


def compare(a: Any, op: ast.cmpop, b: Any) -> bool:
    """Compares ``a op b``.

    Raises:
        OperatorError: If the two cannot be compared.
    """
    try:
        return bool(_COMPARISONS[type(op)](a, b))
    except TypeError:
        raise OperatorError(f"{kind(a)} cannot be compared with {kind(b)}") from None


def format_value(value: Any, conversion: int, spec: str) -> str:
    """Formats a value in an f-string; ``conversion`` is the code of ``r``, ``s`` or ``a``, or -1.

    Raises:
        OperatorError: For a list or dict, or a format that is not a plain one for numbers or text.
    """
    if not isinstance(value, str | int | float):
        raise OperatorError(f"{kind(value)} in an f-string is not allowed: only text and numbers are")
    if not _FORMAT.fullmatch(spec):
        raise OperatorError(f"the format {spec[:20]!r} is not allowed: use one such as '03d' or '.2f'")
    if conversion != -1:
        value = ascii(value) if conversion == ord("a") else repr(value) if conversion == ord("r") else str(value)
    try:
        return format(value, spec)
    except (ValueError, TypeError, OverflowError) as error:
        raise OperatorError(f"the format {spec!r} does not fit: {error}") from None
