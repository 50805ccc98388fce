"""How images are cut into windows: the settings, and which object lands in which window. Needs no torch.

The rules are those of MMRotate's ``img_split.py``. `rotx.tiling.split` writes such windows to files, `TiledDataset`
reads them from the whole images; both give the same labels because both take them from here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx import _rust

#: The name of a patch, as `patch_name` writes it or, with a rate in place of the size, the DOTA devkit of 2019. An
#: image's own name may hold ``__``: the last ones count.
PATCH = re.compile(r"(?P<image>.+)__(?P<number>\d+(?:\.\d+)?)__(?P<x>-?\d+)___(?P<y>-?\d+)$", re.DOTALL)

#: Difficulty of an object that reaches beyond its window.
TRUNCATED = 2

#: The largest number that a setting may have: no image is wider. And the largest side of a window, in pixels, that is
#: filled up where it reaches beyond the image: such a one takes 3 GB.
_LARGEST, _LARGEST_FILLED = 1_000_000_000, 2**15

#: Of a coordinate with more decimals than these the last digits may change when it is moved.
_MOST_DECIMALS = 9


@dataclass(frozen=True)
class Tiling:
    """The windows wanted of every image, and the objects wanted in them.

    Attributes:
        sizes: Sides of the square windows, in pixels.
        gaps: For each size the pixels that neighbours share.
        rates: Each divides all sizes and gaps: at rate 0.5 windows are twice as wide.
        img_rate_thr: Windows of which the image fills no more than this share are left out, unless all are such.
        iof_thr: An object belongs to a window that holds at least this share of its area.
        no_padding: Whether windows that reach beyond the image are cut off there, not filled up.
        padding_value: Blue, green and red of what fills them up.

    Raises:
        ValueError: For settings that make no windows.
    """

    sizes: tuple[int, ...] = (1024,)
    gaps: tuple[int, ...] = (200,)
    rates: tuple[float, ...] = (1.0,)
    img_rate_thr: float = 0.6
    iof_thr: float = 0.7
    no_padding: bool = False
    padding_value: tuple[int, ...] = (104, 116, 124)

    def __post_init__(self) -> None:
        put = object.__setattr__  # the class is frozen
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
        """Size and gap of each kind of window, in pixels of the image: those of the first rate first."""
        pairs = list(zip(self.sizes, self.gaps, strict=True))
        return [(int(size / rate), int(gap / rate)) for rate in self.rates for size, gap in pairs]

    def windows(self, width: int, height: int) -> NDArray[np.int64]:
        """The windows (W, 4) of an image: x0, y0, x1, y1 in pixels, the last two exclusive.

        They may reach beyond the image at the right and at the bottom. None occurs twice.

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
        """The objects of each window.

        Args:
            quads: (N, 8) corners of the objects of an image, in its pixels.
            windows: (W, 4) as `windows` gives them.

        Returns:
            Three arrays (M,), sorted by window and then object: index of the window, index of the object, and
            whether it reaches beyond the window.
        """
        return _rust.tile_cut(np.ascontiguousarray(quads, np.float64), windows, self.iof_thr)


def patch_name(image: str, window: Sequence[int]) -> str:
    """The name of the patch that a window (x0, y0, x1, y1) cuts from an image: ``P0001__1024__824___0``."""
    x0, y0, x1, _ = window
    return f"{image}__{x1 - x0}__{x0}___{y0}"


def move_quads(quads: NDArray[np.float64], corners: NDArray[np.int64]) -> NDArray[np.float64]:
    """Quads (N, 8) of an image, in pixels of windows whose upper left corners are (N, 2) or (2,).

    A coordinate keeps its number of decimals: 1023.456 less 1000 is 23.456 and not 23.456000000000017.
    """
    moved = quads - np.tile(corners, 4)
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
    """Three values from 0 to 255; one, as MMRotate takes it, stands for all three."""
    values = list(value) if isinstance(value, (list, tuple)) else [value]
    if len(values) not in (1, 3) or any(type(v) is not int or not 0 <= v <= 255 for v in values):
        raise ValueError(f"padding_value: need blue, green and red, whole numbers from 0 to 255, got {value!r}")
    return tuple(values * (3 // len(values)))


_SINGLE, _MULTIPLE = Tiling(), Tiling(gaps=(500,), rates=(0.5, 1.0, 1.5))

#: What MMRotate's ``split_configs`` set for each version of DOTA, at a single scale (ss) and at several (ms).
PRESETS = {
    f"dota{version}-{name}": tiling
    for version in ("1.0", "1.5", "2.0")
    for name, tiling in (("ss", _SINGLE), ("ms", _MULTIPLE))
}
