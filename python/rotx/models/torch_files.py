"""Reads files of ``torch.save`` from untrusted sources without running code from them.

Such a file is a pickle, and a pickle can call any function of any module. A file is therefore read twice. The first
pass replaces every name by a placeholder that does nothing, to collect the names and how they are used; a name that
could run code rejects the file. The second pass is ``torch.load`` with ``weights_only=True``, again with placeholders
for names of other packages: objects such as MMEngine's message hub or a user's config class in the metadata become
empty objects, and their modules are not imported.
"""

from __future__ import annotations

import pickle
import re
import sys
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from pathlib import Path
from typing import IO, Any

import torch

#: First pickle in a file of torch before 1.6, which is not a zip archive.
LEGACY_MAGIC = 0x1950A86A20F9469CFC6C

#: Names of the standard library and of numpy that only hold data, by module; any other name rejects the file.
HARMLESS = {
    "_codecs": {"encode"},
    "argparse": {"Namespace"},
    "builtins": {"bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object"}
    | {"range", "set", "slice", "str", "tuple"},
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque"},
    "copyreg": {"_reconstructor"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "pathlib": {"Path", "PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "pathlib._local": {"Path", "PosixPath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "types": {"SimpleNamespace"},
    "uuid": {"UUID"},
    "numpy": {"dtype", "ndarray", "bool_", "float16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8"},
    # Modules before and since numpy 2.
    "numpy.core.multiarray": {"_reconstruct", "scalar"},
    "numpy.core.numeric": {"_frombuffer"},
    "numpy._core.multiarray": {"_reconstruct", "scalar"},
    "numpy._core.numeric": {"_frombuffer"},
}
#: Packages, besides the standard library, of which only these names are allowed.
STRICT = {"distutils", "numpy", "pip", "pkg_resources", "setuptools"}


class Placeholder:
    """Stand-in for any name in a file: it can be called, filled and restored, and discards everything.

    An object that the file fills like a dict or list must be one in the second pass: torch fills nothing else.
    """

    filled_as: type | None = None
    container: type | None = None

    def __new__(cls, *args: Any, **keywords: Any) -> Any:  # noqa: D102
        return object.__new__(cls) if cls.container is None else cls.container()

    def __init__(self, *args: Any, **keywords: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass

    def __setitem__(self, key: Any, value: Any) -> None:
        type(self).filled_as = OrderedDict

    def append(self, item: Any) -> None:
        """Discards an item, like a list's method."""
        type(self).filled_as = list

    def extend(self, items: Any) -> None:
        """Discards an item, like a list's method."""
        type(self).filled_as = list

    def add(self, item: Any) -> None:
        """Discards an item, like a set's method."""


# The pure Python unpickler: the C one allocates whatever memory a damaged file asks for.
class Probe(pickle._Unpickler):
    """Unpickler with a placeholder for every name; ``named`` collects the placeholders by name."""

    def __init__(self, file: IO[bytes], named: dict[str, type[Placeholder]]) -> None:
        super().__init__(file, encoding="latin1")
        self.named = named

    def find_class(self, module: str, name: str) -> Any:
        """Returns a placeholder for ``module.name``, registered under its Python 3 name."""
        module, name = NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name))
        full = f"{module}.{name}"
        if full not in self.named:
            self.named[full] = type(name, (Placeholder,), {"__module__": module})
        return self.named[full]

    def persistent_load(self, pid: Any) -> Any:
        """Skips the storage of a tensor."""
        return None


def read(path: str | Path, map_location: str | torch.device = "cpu") -> Any:
    """Reads the object that ``torch.save`` wrote, with placeholders for objects of other packages.

    Args:
        path: File written by any version of ``torch.save``.
        map_location: Device to load tensors to.

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file was not written by ``torch.save``, is damaged, or names something that could run code.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"{path}: {'is a folder' if path.is_dir() else 'no such file'}")
    entries = _open(path)
    named: dict[str, type[Placeholder]] = {}
    try:
        is_torch = _probe(path, entries, named)
    except Exception as error:
        _refuse(path, named)
        raise _unreadable(path, error) from None
    _refuse(path, named)
    if not is_torch:
        raise ValueError(f"{path}: is a pickle, but not of torch.save: save model.state_dict() with torch.save")
    foreign: list[Any] = [stand_in for name, stand_in in named.items() if not name.startswith("torch.")]
    for stand_in in foreign:
        stand_in.container = stand_in.filled_as
    # Memory mapping avoids reading the optimizer's state, often half of the file.
    mappable = bool(entries) and all(entry.compress_type == zipfile.ZIP_STORED for entry in entries)
    try:
        with torch.serialization.safe_globals(foreign):
            return torch.load(path, map_location=map_location, weights_only=True, mmap=mappable)
    except Exception as error:
        raise _unreadable(path, error) from None


def check_sums(path: str | Path) -> None:
    """Reads a whole file of ``torch.save`` to compare its checksums.

    Raises:
        ValueError: If a part of it has changed since it was written.
    """
    path = Path(path)
    if not _open(path):
        return  # torch before 1.6 wrote no checksums
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
    except Exception as error:
        raise _unreadable(path, error) from None
    if damaged is not None:
        raise _unreadable(path, ValueError(f"wrong checksum of {damaged}"))


def _open(path: Path) -> list[zipfile.ZipInfo]:
    """Returns the entries of a zip archive, none for a file of torch before 1.6; raises for any other file."""
    with path.open("rb") as file:
        start = file.read(16)
    if not start:
        raise ValueError(f"{path}: is empty: copy or download it again")
    if start[:1] == b"\x80":
        return []
    if start[:4] != b"PK\x03\x04":
        raise ValueError(f"{path}: is not a checkpoint of torch.save: it starts with {start!r}")
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, OSError, ValueError) as error:
        raise _unreadable(path, error) from None
    if any(entry.filename.endswith("/constants.pkl") for entry in entries):
        raise ValueError(f"{path}: is a TorchScript program, not a checkpoint: give the one it was exported from")
    if len(_pickles(entries)) != 1:
        raise ValueError(f"{path}: is a zip archive, but not a checkpoint: it holds no data.pkl of torch.save")
    return entries


def _pickles(entries: list[zipfile.ZipInfo]) -> list[zipfile.ZipInfo]:
    return [entry for entry in entries if re.fullmatch(r"[^/]+/data\.pkl", entry.filename)]


def _probe(path: Path, entries: list[zipfile.ZipInfo], named: dict[str, type[Placeholder]]) -> bool:
    """Collects the names in the pickles of a file; returns whether torch wrote them."""
    if entries:
        with zipfile.ZipFile(path) as archive, archive.open(_pickles(entries)[0]) as file:
            Probe(file, named).load()
        return True
    with path.open("rb") as file:
        if Probe(file, named).load() != LEGACY_MAGIC:
            return False
        for _ in ("protocol", "system", "object"):
            Probe(file, named).load()
    return True


def _refuse(path: Path, named: dict[str, type[Placeholder]]) -> None:
    """Raises ValueError if a file contains a name that could run code."""
    for full, stand_in in named.items():
        module, root = stand_in.__module__, full.split(".")[0]
        strict = root in STRICT or root in sys.stdlib_module_names
        runs = strict and full.removeprefix(f"{module}.") not in HARMLESS.get(module, ())
        # Names of layers mean that a whole model was saved, which only its own code can read.
        if runs or module.startswith("torch.nn.modules."):
            raise ValueError(
                f"{path}: names {full!r}, by which reading it could run code: refused, and nothing of it was run. "
                "If you trust its source, save model.state_dict() alone there"
            )


def _unreadable(path: Path, error: Exception) -> ValueError:
    found = re.search(r"GLOBAL (\S+)", str(error))
    if found:
        return ValueError(
            f"{path}: names {found[1]!r}, which is neither weights nor plain data: refused, and nothing of it was "
            "run. If you trust its source, save model.state_dict() alone there"
        )
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return ValueError(f"{path}: is damaged or not a checkpoint of torch.save ({lines[0]}): copy or download it again")
