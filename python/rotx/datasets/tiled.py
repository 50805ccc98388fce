"""Windows of large images as a dataset: the patches of ``rotx split``, without writing them to files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rotx.datasets.dataset import Dataset, Transform
from rotx.datasets.file_dataset import checked_filter
from rotx.datasets.pipeline import checked_pipeline
from rotx.datasets.sample import Sample
from rotx.datasets.wrappers import check_dataset
from rotx.images.files import UnreadableImage
from rotx.images.window_cache import open_image
from rotx.records import ImageRecord, Masks, Window
from rotx.tiling.windows import TRUNCATED, Tiling, move_to_windows, patch_name


class TiledDataset(Dataset):
    """The windows of the images of another dataset, with the names, objects and pixels of ``rotx split``.

    Whether training drops or ignores an object is decided for the whole image, by the other dataset. An object that
    reaches beyond its window has difficulty 2. Windows are sorted by name.

    Args:
        dataset: Dataset of whole images, without a ``pipeline`` or ``filter_cfg``; its ``test_mode`` applies.
        sizes, gaps, rates, img_rate_thr, iof_thr, no_padding, padding_value: See `rotx.tiling.windows.Tiling`.
        random_offset: Training only: whether to shift a window at each draw by up to half the distance to its
            neighbours in both directions, within the image, and to assign its objects anew.
        cache_mb: Size limit of the cache of decoded pixels in 10⁶ bytes; each loader process has its own cache.
        filter_cfg: Filter of windows; see `rotx.datasets.file_dataset.FileDataset`.
        pipeline: Transforms of the pipeline, in order.

    Attributes:
        whole: Dataset of the whole images.

    Raises:
        ValueError: For settings that give no windows; if no window is left; in test mode, for an image whose size
            cannot be read.
    """

    def __init__(
        self,
        *,
        dataset: Dataset,
        sizes: tuple[int, ...] = (1024,),
        gaps: tuple[int, ...] = (200,),
        rates: tuple[float, ...] = (1.0,),
        img_rate_thr: float = 0.6,
        iof_thr: float = 0.7,
        no_padding: bool = False,
        padding_value: tuple[int, ...] = (104, 116, 124),
        random_offset: bool = False,
        cache_mb: float = 512,
        filter_cfg: Mapping[str, Any] | None = None,
        pipeline: Sequence[Transform] = (),
    ) -> None:
        check_dataset(dataset, "dataset")
        _check_bare(dataset, "dataset")
        if isinstance(cache_mb, bool) or not isinstance(cache_mb, int | float) or not 0 <= cache_mb < np.inf:
            raise ValueError(f"cache_mb: need a number of at least 0, got {cache_mb!r}")
        if not isinstance(random_offset, bool) or (random_offset and dataset.test_mode):
            raise ValueError(f"random_offset: need True or False, and True only in training, got {random_offset!r}")
        self.tiling = Tiling(sizes, gaps, rates, img_rate_thr, iof_thr, no_padding, padding_value)
        self.random_offset, self.cache_bytes = random_offset, int(cache_mb * 1e6)
        self.transforms = checked_pipeline(pipeline, dataset.test_mode)
        keep_empty, min_size = checked_filter(filter_cfg)
        dataset.read_for(self.transforms)
        self.whole, self.classes, self.test_mode = dataset, dataset.classes, dataset.test_mode
        self.notices, self.dropped = list(dataset.notices), Counter(dataset.dropped)

        self._sizes = self._image_sizes()
        self.records, self._image = self._cut_all(keep_empty or self.test_mode, 0 if self.test_mode else min_size)
        self._reach = {size: (size - gap) // 2 for size, gap in self.tiling.squares}

    def _untransformed(self, index: int, rng: np.random.Generator) -> Sample:
        """Returns a window, shifted at random by ``rng`` if ``random_offset`` is set."""
        record = self.records[index]
        return Sample(self._moved(record, self._image[index], rng) if self.random_offset else record)

    def _moved(self, record: ImageRecord, image: int, rng: np.random.Generator) -> ImageRecord:
        """Returns the record of a randomly shifted window."""
        assert record.window is not None
        x0, y0, x1, _ = record.window.area
        side, (width, height) = x1 - x0, self._sizes[image]
        dx, dy = rng.integers(-self._reach[side], self._reach[side], 2, endpoint=True).tolist()
        x, y = min(max(x0 + dx, 0), max(width - side, 0)), min(max(y0 + dy, 0), max(height - side, 0))
        return self._cut(image, np.array([[x, y, x + side, y + side]], np.int64))[0][0]

    def _image_sizes(self) -> dict[int, tuple[int, int]]:
        """Width and height of each image by its index, from the file; in training, without unreadable images."""
        sizes, bad = {}, []
        for i in tqdm(range(len(self.whole)), desc="sizes", unit="image", leave=False, delay=2, disable=None):
            try:
                reader = open_image(self.whole.record(i).path)
            except UnreadableImage as error:
                bad.append(str(error))
            else:
                sizes[i] = reader.width, reader.height
        count = f"{len(bad):,} of {len(self.whole):,} images cannot be read"
        if bad and (self.test_mode or not sizes):
            raise ValueError(f"{count}: repair them, or remove their annotations; first {bad[0]}")
        if bad:
            self.notices.append(f"{count} and are left out; first {bad[0]}")
        return sizes

    def _cut_all(self, keep_empty: bool, min_size: int) -> tuple[list[ImageRecord], list[int]]:
        """Returns the windows of all images, sorted by name, and the index of the image of each."""
        tiles: list[tuple[ImageRecord, int]] = []
        objects = inside = 0
        for i, (width, height) in self._sizes.items():
            cut, found = self._cut(i, self.tiling.windows(width, height))
            tiles += [(tile, i) for tile in cut]
            objects, inside = objects + len(self.whole.record(i).instances), inside + found
        self.notices.append(
            f"{len(self._sizes):,} images make {len(tiles):,} windows; "
            f"{objects - inside:,} of {objects:,} objects are in no window"
        )
        empty = np.array([not len(tile.instances) for tile, _ in tiles]) & (not keep_empty)
        small = np.array([min(tile.size or (0, 0)) < min_size for tile, _ in tiles])
        if (empty | small).any():
            reasons = f"of {len(tiles):,} windows, {empty.sum():,} without an object"
            if min_size:
                reasons += f", {(small & ~empty).sum():,} more with a side below {min_size}"
            if (empty | small).all():
                raise ValueError(f"filter_cfg leaves none: {reasons}")
            self.notices.append(f"filter_cfg leaves out, {reasons}")
            tiles = [tile for tile, out in zip(tiles, empty | small, strict=True) if not out]
        tiles.sort(key=lambda tile: tile[0].name)
        return [tile for tile, _ in tiles], [i for _, i in tiles]

    def _cut(self, image: int, windows: NDArray[np.int64]) -> tuple[list[ImageRecord], int]:
        """Returns records of windows (W, 4) of an image, and the number of its objects that are in any of them."""
        record, (width, height) = self.whole.record(image), self._sizes[image]
        known = record.instances
        window, chosen, truncated = self.tiling.cut(known.quads, windows)
        difficult = 0 if known.difficult is None else known.difficult[chosen]
        found = replace(
            known[chosen],
            boxes=move_to_windows(known.boxes[chosen], known.kind, windows[window, :2]),
            difficult=np.where(truncated, TRUNCATED, difficult).astype(np.uint8),
        )
        bounds = np.searchsorted(window, np.arange(len(windows) + 1))
        padding = None if self.tiling.no_padding else self.tiling.padding_value
        tiles = []
        for area, start, stop in zip(windows.tolist(), bounds[:-1], bounds[1:], strict=True):
            (x0, y0, x1, y1), inside = area, found[start:stop]
            size = (y1 - y0, x1 - x0) if padding else (min(y1, height) - y0, min(x1, width) - x0)
            if isinstance(inside.masks, Masks):
                inside.masks = inside.masks.cut(x0, y0, size)
            name, shown = patch_name(record.name, area), Window((x0, y0, x1, y1), padding, self.cache_bytes)
            tiles.append(ImageRecord(name=name, path=record.path, instances=inside, size=size, window=shown))
        return tiles, len(np.unique(chosen))


def _check_bare(dataset: Dataset, where: str) -> None:
    """Raises ValueError if a setting for windows is given to the dataset of whole images."""
    if isinstance(dataset, TiledDataset):
        raise ValueError(f"{where}: need a dataset of whole images, got another TiledDataset")
    for i, part in enumerate(getattr(dataset, "datasets", ())):
        _check_bare(part, f"{where}.datasets.{i}")
    for key, given in (("pipeline", dataset.transforms), ("filter_cfg", getattr(dataset, "filter_cfg", None))):
        if given:
            raise ValueError(f"{where}: {key} is a setting of windows: move it to the TiledDataset")
