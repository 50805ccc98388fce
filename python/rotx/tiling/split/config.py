"""JSON settings of MMRotate's ``img_split.py``, such as ``ss_train.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rotx.config.errors import nearest
from rotx.tiling.windows import Tiling

#: MMRotate's defaults for missing keys.
_DEFAULTS: dict[str, Any] = {
    "sizes": [1024],
    "gaps": [512],
    "rates": [1.0],
    "img_rate_thr": 0.6,
    "iof_thr": 0.7,
    "no_padding": False,
    "padding_value": [0],
}
_OTHERS = ("nproc", "img_dirs", "ann_dirs", "save_dir", "save_ext")


@dataclass(frozen=True)
class SplitConfig:
    """Settings in such a file.

    Attributes:
        folders: Image folders, each with its annotations.
        out: Output folder; None if the file does not name it.
        tiling: Settings of the windows.
        ext: File format of the patches.
        nproc: Number of workers; None if the file does not give it.
    """

    folders: list[tuple[str | Path, str | Path | None]]
    out: str | None
    tiling: Tiling
    ext: str
    nproc: int | None


def read_config(path: str | Path) -> SplitConfig:
    """Reads the settings of a split.

    Raises:
        ValueError: For settings that MMRotate would refuse, including unknown keys.
        OSError: If the file cannot be read.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8-sig"))
    except ValueError as error:
        raise ValueError(f"{path}: is not JSON: {error}") from None
    if not isinstance(content, Mapping):
        raise ValueError(f"{path}: need an object with keys such as img_dirs and save_dir")
    try:
        return _config({str(key): value for key, value in content.items()})
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def _config(content: Mapping[str, Any]) -> SplitConfig:
    known = [*_DEFAULTS, *_OTHERS]
    for key in content:
        if key not in known:
            raise ValueError(f"unknown key {key!r}{nearest(key, known)}")
    images = _paths(content, "img_dirs")
    if not images:
        raise ValueError("img_dirs: need the folders of the images")
    annotations = _paths(content, "ann_dirs") or [None] * len(images)
    if len(annotations) != len(images):
        raise ValueError(f"ann_dirs: need one for each of {len(images)} img_dirs, got {len(annotations)}")
    if None in images:
        raise ValueError("img_dirs: need paths, got null")
    out, nproc = content.get("save_dir"), content.get("nproc")
    if out is not None and not isinstance(out, str):
        raise ValueError(f"save_dir: need a path, got {out!r}")
    if nproc is not None and (type(nproc) is not int or nproc < 1):
        raise ValueError(f"nproc: need a whole number from 1, got {nproc!r}")
    tiling = Tiling(**{key: content.get(key, default) for key, default in _DEFAULTS.items()})
    folders = zip(map(str, images), annotations, strict=True)
    return SplitConfig(list(folders), out, tiling, content.get("save_ext", ".png"), nproc)


def _paths(content: Mapping[str, Any], key: str) -> list[str | None]:
    values = content.get(key)
    if values is None:
        return []
    if not isinstance(values, list) or any(not isinstance(value, (str, type(None))) for value in values):
        raise ValueError(f"{key}: need a list of paths, got {values!r}")
    return values
