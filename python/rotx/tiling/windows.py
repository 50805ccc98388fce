"""Cutting images into windows: the settings, and which objects belong to which window. Needs no torch.

The rules are those of MMRotate's ``img_split.py``. `rotx.tiling.split` writes such windows to files, `TiledDataset`
reads them from the whole images; both use this module and so have the same labels.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx import _rust
from rotx.boxes import BoxKind

#: The name of a patch, as `patch_name` writes it or, with a rate in place of the size, the DOTA devkit of 2019. An
#: image's own name may hold ``__``: the last ones count.
PATCH = re.compile(r"(?P<image>.+)__(?P<number>\d+(?:\.\d+)?)__(?P<x>-?\d+)___(?P<y>-?\d+)$", re.DOTALL)

#: Difficulty of an object that reaches beyond its window.
TRUNCATED = 2

#: The largest value of a setting: no image is wider. And the largest side of a window in pixels that may be padded:
#: such a window takes 3 GB.
_LARGEST, _LARGEST_FILLED = 1_000_000_000, 2**15

#: Coordinates with more decimals may change in their last digits when moved.
_MOST_DECIMALS = 9


@dataclass(frozen=True)
class Tiling:
    """Settings of the windows of an image and the objects in them.

    Attributes:
        sizes: Sides of the square windows, in pixels.
        gaps: Overlap of neighbours for each size, in pixels.
        rates: Divisors of all sizes and gaps: at rate 0.5, windows are twice as wide.
        img_rate_thr: Windows are left out if the image covers no more than this fraction, unless it is so for all
            windows.
        iof_thr: An object belongs to a window that contains at least this fraction of its area.
        no_padding: Whether windows that reach beyond the image are cropped instead of padded.
        padding_value: Blue, green and red of the padding.

    Raises:
        ValueError: For settings that give no windows.
    """

    sizes: tuple[int, ...] = (1024,)
    gaps: tuple[int, ...] = (200,)
    rates: tuple[float, ...] = (1.0,)
    img_rate_thr: float = 0.6
    iof_thr: float = 0.7
    no_padding: bool = False
    padding_value: tuple[int, ...] = (104, 116, 124)

    def __post_init__(self) -> None:
        put = object.__setattr__  # the dataclass is frozen
        for name in ("sizes", "gaps"):
            put(self, name, tuple(int(_number(name, value, whole=True)) for value in _several(name, self)))
        put(self, "rates", tuple(float(_number("rates", value)) for value in _several("rates", self)))
        put(self, "padding_value", _colour(self.padding_value))
        for name in ("img_rate_thr", "iof_thr"):
            share = _number(name, getattr(self, name))
            if not 0 <= share <= 1:
                raise ValueError(f"{name}: need a share from 0 to 1, got {share:g}")
            put(self, name, float(share))
        if not isinstance(self.no_padding, bool):
            raise ValueError(f"no_padding: need true or false, got {self.no_padding!r}")
        if len(self.sizes) != len(self.gaps):
            raise ValueError(f"gaps: need one for each of {len(self.sizes)} sizes, got {len(self.gaps)}")
        if min(self.rates) <= 0:
            raise ValueError(f"rates: need numbers greater than 0, got {min(self.rates):g}")
        side, most = max(self.sizes) / min(self.rates), _LARGEST if self.no_padding else _LARGEST_FILLED
        if side > most:
            fix = "" if self.no_padding else "; with no padding they may be larger than the images"
            raise ValueError(f"sizes: need windows of at most {most:,} pixels, got {side:,.10g}{fix}")
        for size, gap in self.squares:
            if not size > gap >= 0:
                raise ValueError(f"gaps: need 0 or more, and less than the size, got {gap} for size {size}")

    @property
    def squares(self) -> list[tuple[int, int]]:
        """Size and gap of each kind of window, in pixels of the image, ordered by rate."""
        pairs = list(zip(self.sizes, self.gaps, strict=True))
        return [(int(size / rate), int(gap / rate)) for rate in self.rates for size, gap in pairs]

    def windows(self, width: int, height: int) -> NDArray[np.int64]:
        """Returns the windows (W, 4) of an image: x0, y0, x1, y1 in pixels, the last two exclusive.

        Windows may reach beyond the image at the right and bottom. No window occurs twice.

        Raises:
            ValueError: For more than a million.
        """
        found = _rust.tile_windows(width, height, self.squares, self.img_rate_thr)
        if len(self.squares) == 1:
            return found
        _, first = np.unique(found, axis=0, return_index=True)
        return found[np.sort(first)]

    def cut(
        self, quads: NDArray[np.float64], windows: NDArray[np.int64]
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint32], NDArray[np.bool_]]:
        """Assigns objects to windows.

        Args:
            quads: Corners (N, 8) of the objects of an image, in its pixels.
            windows: Windows (W, 4) from `windows`.

        Returns:
            Three arrays (M,), sorted by window and then object: index of the window, index of the object, and
            whether the object reaches beyond the window.
        """
        return _rust.tile_cut(np.ascontiguousarray(quads, np.float64), windows, self.iof_thr)


def patch_name(image: str, window: Sequence[int]) -> str:
    """Returns the name of the patch for a window (x0, y0, x1, y1) of an image: ``P0001__1024__824___0``."""
    x0, y0, x1, _ = window
    return f"{image}__{x1 - x0}__{x0}___{y0}"


def move_to_windows(boxes: NDArray[np.float64], kind: BoxKind, corners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Moves boxes (N, D) of an image to pixels of windows with top left corners (N, 2) or (2,)."""
    if kind == "rbox":
        return np.concatenate([move_quads(boxes[:, :2], corners), boxes[:, 2:]], axis=1)
    return move_quads(boxes, corners)


def move_quads(quads: NDArray[np.float64], corners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Moves quads (N, 8), or other points (N, 2k), of an image to pixels of windows with corners (N, 2) or (2,).

    A coordinate keeps its number of decimals: 1023.456 less 1000 is 23.456 and not 23.456000000000017.
    """
    moved = quads - np.tile(corners, quads.shape[1] // 2)
    with np.errstate(over="ignore", invalid="ignore"):
        rest = np.isfinite(quads)
        for decimals in range(_MOST_DECIMALS + 1):
            short = rest & (np.round(quads, decimals) == quads)
            moved[short] = np.round(moved[short], decimals)
            rest &= ~short
            if not rest.any():
                break
    return moved


def _several(name: str, tiling: Tiling) -> Iterable[Any]:
    values = getattr(tiling, name)
    if not isinstance(values, (list, tuple)) or not values:
        raise ValueError(f"{name}: need a list of numbers, got {values!r}")
    return values


def _number(name: str, value: Any, whole: bool = False) -> float:
    right = isinstance(value, (int, np.integer)) or (not whole and isinstance(value, (float, np.floating)))
    if isinstance(value, bool) or not right or not abs(value) <= _LARGEST:
        raise ValueError(f"{name}: need {'whole ' * whole}numbers up to {_LARGEST:,}, got {value!r}")
    return float(value)


def _colour(value: Any) -> tuple[int, ...]:
    """Returns three values from 0 to 255; a single value, as in MMRotate, stands for all three."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(values) not in (1, 3) or any(type(v) is not int or not 0 <= v <= 255 for v in values):
        raise ValueError(f"padding_value: need blue, green and red, whole numbers from 0 to 255, got {value!r}")
    return tuple(values * (3 // len(values)))


_SINGLE, _MULTIPLE = Tiling(), Tiling(gaps=(500,), rates=(0.5, 1.0, 1.5))

#: Settings of MMRotate's ``split_configs`` for each version of DOTA, single-scale (ss) and multi-scale (ms).
PRESETS = {
    f"dota{version}-{name}": tiling
    for version in ("1.0", "1.5", "2.0")
    for name, tiling in (("ss", _SINGLE), ("ms", _MULTIPLE))
}
