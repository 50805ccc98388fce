"""Windows a second that a TiledDataset reads, against patches in files: in order and shuffled, cached and not.

``python tests/benches/virtual_tiles.py [FOLDER]`` makes images of 4096² pixels out of those in FOLDER, else of noise.
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from data_pipeline import ground

sys.path.insert(0, str(Path(__file__).parents[1]))

from rotx.compat import build
from rotx.images import window_cache
from rotx.images.files import read_image
from rotx.images.window_cache import read_record, reading_order
from tiffs import write_tiff

SIDE, IMAGES, SIZE, GAP = 4096, 4, 1024, 200


def mosaic(sources: list[np.ndarray], rng: np.random.Generator) -> np.ndarray:
    """An image (SIDE, SIDE, 3) of pieces of others."""
    image = np.zeros((SIDE, SIDE, 3), np.uint8)
    for y in range(0, SIDE, 512):
        for x in range(0, SIDE, 512):
            source = sources[rng.integers(len(sources))]
            top, left = (int(rng.integers(0, n - 511)) for n in source.shape[:2])
            image[y : y + 512, x : x + 512] = source[top : top + 512, left : left + 512]
    return image


def dataset(folder: Path, suffix: str, cache_mb: float) -> Any:
    inner = {"type": "DOTADataset", "data_root": str(folder), "data_prefix": {"img_path": suffix}, "test_mode": True}
    inner["metainfo"] = {"classes": ("ship",)}
    return build({"type": "TiledDataset", "dataset": inner, "sizes": [SIZE], "gaps": [GAP], "cache_mb": cache_mb})


def report(name: str, records: list[Any], order: list[int]) -> None:
    """Prints how many windows a second of processor time gives, from an empty cache."""
    window_cache._start_anew()
    start = time.process_time()
    for i in order:
        read_record(records[i])
    spent = (time.process_time() - start) / len(order)
    print(f"{name:<52} {1 / spent:8.1f} windows/s  {spent * 1e3:8.1f} ms each")


def main() -> None:
    """Makes the images and prints the table."""
    rng = np.random.default_rng(0)
    cv2.setNumThreads(1)
    paths = sorted(Path(sys.argv[1]).rglob("*.png")) if len(sys.argv) > 1 else []
    sources = [image for path in paths if min((image := read_image(path)).shape[:2]) > 512] or [ground(rng)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for suffix in ("png", "tif", "patches"):
            (folder / suffix).mkdir()
        for i in range(IMAGES):
            image = mosaic(sources, rng)
            cv2.imwrite(str(folder / f"png/{i}.png"), image)
            write_tiff(folder / f"tif/{i}.tif", image[:, :, ::-1], photometric=2, compression=8, tile=(256, 256))
        row_mb, tiles = SIDE * SIZE * 3 / 1e6, dataset(folder, "png", 1000)
        for record in tiles.records:
            cv2.imwrite(str(folder / f"patches/{record.name}.png"), read_record(record))
        patches = build({**PATCHES, "data_root": str(folder), "data_prefix": {"img_path": "patches"}})
        order, shuffled = reading_order(tiles.records), rng.permutation(len(tiles)).tolist()
        print(f"{IMAGES} images of {SIDE}², {len(order)} windows of {SIZE}²")
        report("patches in PNG files", patches.records, order)
        for suffix in ("png", "tif"):
            for what, rows in (("all images", 100.0), ("one image", 4.4), ("a row of windows", 1.3), ("nothing", 0.0)):
                records = dataset(folder, suffix, rows * row_mb).records
                report(f"{suffix}, in order, cache for {what}", records, order)
                report(f"{suffix}, shuffled, cache for {what}", records, shuffled)


PATCHES = {"type": "DOTADataset", "test_mode": True, "metainfo": {"classes": ("ship",)}}

if __name__ == "__main__":
    main()
