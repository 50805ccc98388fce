"""Reading a config file into a syntax tree, with limits on its size."""

from __future__ import annotations

import ast
import stat
import warnings
from dataclasses import dataclass
from pathlib import Path

from rotx.config.errors import ConfigError

#: Greatest size in bytes of a config with all its bases. Python parses a few times as much in a second.
MAX_BYTES = 200_000
#: Greatest number of files of a config: itself and its bases, each counted as often as it is named.
MAX_FILES = 100
#: Greatest number of opening braces in a file: Python's time to parse an f-string grows with their square.
MAX_BRACES = 10_000
#: Greatest number of values made while a config is read; MMRotate's largest configs make about 2,000.
MAX_VALUES = 100_000
#: Greatest nesting depth of brackets and of dicts.
MAX_DEPTH = 64


@dataclass
class Budget:
    """Remainder of the limits above while a config is read."""

    bytes: int = MAX_BYTES
    files: int = MAX_FILES
    values: int = MAX_VALUES


class Source:
    """A config file: its path as the user knows it, and its text.

    Raises:
        ConfigError: If the file cannot be read, is not a regular .py file, is too large, or is not UTF-8.
    """

    def __init__(self, path: Path, budget: Budget) -> None:
        self.path = path
        self.budget = budget
        self.text = self._decode(self._read())
        self.lines = self.text.split("\n")

    def error(self, line: int, reason: str) -> ConfigError:
        """Makes the error for a line of this file; quotes the line."""
        text = self.lines[line - 1].strip() if 0 < line <= len(self.lines) else ""
        text = "".join(c if c.isprintable() else "?" for c in text[:61])
        quoted = f" [{text[:60]}{'…' if len(text) > 60 else ''}]" if text else ""
        reason = reason if len(reason) <= 300 else f"{reason[:300]}…"
        return ConfigError(f"{self.path}:{line}: {reason}{quoted}")

    def parse(self) -> ast.Module:
        """Parses the file into a syntax tree.

        Raises:
            ConfigError: If the text is not Python, or nested deeper than Python can parse.
        """
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # such as invalid escapes like '\d' in texts
                return ast.parse(self.text)
        except SyntaxError as error:
            raise self.error(error.lineno or 1, f"not Python: {error.msg}") from None
        except (RecursionError, MemoryError, ValueError):
            raise self.error(1, f"nested too deeply: at most {MAX_DEPTH} levels are allowed") from None

    def _read(self) -> bytes:
        if self.path.suffix != ".py":
            raise ConfigError(f"{self.path}: not a .py file: configs are written in Python's syntax")
        try:
            if not stat.S_ISREG(self.path.stat().st_mode):
                raise ConfigError(f"{self.path}: not a file")
            with self.path.open("rb") as file:
                data = file.read(self.budget.bytes + 1)
        except OSError as error:
            raise ConfigError(f"{self.path}: cannot be read: {error.strerror or error}") from None
        except ValueError as error:
            if isinstance(error, ConfigError):
                raise
            raise ConfigError(f"{str(self.path)!r}: not the name of a file") from None  # it holds a null byte
        self.budget.files -= 1
        if self.budget.files < 0:
            raise ConfigError(f"{self.path}: more than {MAX_FILES} files in one config: name fewer in _base_")
        self.budget.bytes -= len(data)
        if self.budget.bytes < 0:
            raise ConfigError(f"{self.path}: more than {MAX_BYTES:,} bytes with its bases: is this a config?")
        return data

    def _decode(self, data: bytes) -> str:
        try:
            text = data.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            line = data.count(b"\n", 0, error.start) + 1
            byte = f"0x{data[error.start]:02x}"
            raise ConfigError(f"{self.path}:{line}: not UTF-8 at byte {byte}: save the file as UTF-8") from None
        if "\0" in text:
            line = text.count("\n", 0, text.index("\0")) + 1
            raise ConfigError(f"{self.path}:{line}: holds a null byte: this is not a text file")
        if text.count("{") > MAX_BRACES:
            raise ConfigError(f"{self.path}: more than {MAX_BRACES:,} braces: is this a config?")
        return text.replace("\r\n", "\n").replace("\r", "\n")
