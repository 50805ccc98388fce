"""Reading JSON files of annotation tools: one clear error for a file or an entry that is damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from rotx.annotations.files import File
from rotx.annotations.limits import HUGE

Json = Mapping[str, Any]


class DamagedEntry(ValueError):
    """A damaged file or entry of a file.

    Attributes:
        kind: Short name under which it is counted.
    """

    def __init__(self, kind: str, text: str) -> None:
        super().__init__(text)
        self.kind = kind


def load_json(file: File) -> Any:
    """Reads a JSON file.

    Raises:
        DamagedEntry: If it cannot be read or is not JSON.
    """
    try:
        return json.loads(file.read())
    except OSError as error:
        raise DamagedEntry("unreadable", f"cannot be read: {error.strerror or error}") from None
    except json.JSONDecodeError as error:
        raise DamagedEntry("not json", f"line {error.lineno}: is not json, or is cut off: {error.msg}") from None
    except UnicodeDecodeError:
        raise DamagedEntry("not json", "is not json in UTF-8") from None
    except RecursionError:
        raise DamagedEntry("not json", "is not json that can be read: it is nested too deeply") from None
    except ValueError:
        raise DamagedEntry("not json", "holds a number of too many digits") from None


def short(value: Any) -> str:
    """A value as JSON, cut to 60 characters, for messages."""
    text = json.dumps(value) if value is not None else "nothing"
    return text if len(text) <= 60 else f"{text[:57]}..."


def number(value: Any, where: str, limit: float = HUGE) -> float:
    """Checks a number; text such as ``"1.5"`` counts, as XML has nothing else.

    Raises:
        DamagedEntry: Unless it is a finite number of at most ``limit``.
    """
    try:
        found = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = math.nan
    if not abs(found) <= limit:
        raise DamagedEntry("damaged shape", f"{where}: need numbers up to {limit:.0e}, got {short(value)}")
    return found


def points(values: Any, where: str = "points") -> list[list[float]]:
    """Checks a list of points ``[[x, y], ...]``.

    Raises:
        DamagedEntry: If it is something else.
    """
    pairs = isinstance(values, list) and all(isinstance(point, list | tuple) and len(point) == 2 for point in values)
    if not pairs:
        raise DamagedEntry("damaged shape", f"{where}: need [[x, y], ...], got {short(values)}")
    return [[number(x, where), number(y, where)] for x, y in values]


def entry(value: Any, where: str = "") -> Json:
    """Checks a JSON object.

    Raises:
        DamagedEntry: If it is something else.
    """
    if not isinstance(value, Mapping):
        raise DamagedEntry("damaged entry", f"{where}{': ' if where else ''}need an object, got {short(value)}")
    return value


def entries(value: Any, where: str) -> list[Any]:
    """Checks a list.

    Raises:
        DamagedEntry: If it is something else.
    """
    if not isinstance(value, list):
        raise DamagedEntry("damaged entry", f"{where}: need a list [...], got {short(value)}")
    return value


def flag(value: Any, where: str) -> bool:
    """Checks a yes or no; texts such as ``"false"`` and ``"0"`` count as what they say.

    Raises:
        DamagedEntry: If it is neither.
    """
    said = {"true": True, "1": True, "false": False, "0": False, "": False, "none": False}
    found = said.get(value.strip().lower()) if isinstance(value, str) else value
    if found is None and not isinstance(value, str):
        return False
    if isinstance(found, bool) or (isinstance(found, int | float) and found in (0, 1, 2)):
        return bool(found)
    raise DamagedEntry("damaged entry", f"{where}: need true or false, got {short(value)}")
