"""Virtual tiles: the same images, names and objects as of patches in files, in training, evaluation and wrappers."""

from __future__ import annotations

import gzip
import hashlib
import json
import pickle
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
import torch
from PIL import Image

from conftest import GOLDENS
from rotx.compat import build
from rotx.datasets.loader import build_loader
from rotx.datasets.samplers import DefaultSampler
from rotx.datasets.tiled import TiledDataset
from rotx.geometry import rbox_to_quad
from rotx.images.files import UnreadableImage
from rotx.images.window_cache import read_record
from rotx.tiling.split import split
from rotx.tiling.windows import Tiling
from tiffs import write_tiff

CLASSES = ("ship", "plane")
SIZE, GAP = 100, 30
IMAGES = {"P1": (310, 170), "P2__x": (100, 260), "P3": (80, 60), "a b": (130, 100)}  # width, height
LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations"}]


def write_images(folder: Path, images: dict[str, tuple[int, int]], suffix: str = ".png") -> Path:
    """Whole images of noise, with objects anywhere; the last has none."""
    rng = np.random.default_rng(0)
    for inner in ("images", "labels"):
        (folder / inner).mkdir(parents=True, exist_ok=True)
    for name, (width, height) in images.items():
        pixels = rng.integers(0, 256, (height, width, 3), np.uint8)
        assert cv2.imwrite(str(folder / f"images/{name}{suffix}"), pixels)
        count = 0 if name == list(images)[-1] else 25
        centres, sides = rng.uniform(0, (width, height), (count, 2)), rng.uniform(5, 60, (count, 2))
        quads = rbox_to_quad(np.column_stack([centres, sides, rng.uniform(-1.5, 1.5, count)])).round(1)
        write_labels(folder / f"labels/{name}.txt", quads, rng.integers(0, 2, count), rng.integers(0, 2, count))
    return folder


def write_labels(path: Path, quads: Any, labels: Any, difficult: Any) -> None:
    rows = zip(quads.tolist(), labels, difficult, strict=True)
    path.write_text("".join(f"{' '.join(map(str, quad))} {CLASSES[label]} {mark}\n" for quad, label, mark in rows))


def config(folder: Path, **settings: Any) -> dict[str, Any]:
    paths = {"data_root": str(folder), "ann_file": "labels", "data_prefix": {"img_path": "images"}}
    return {"type": "DOTADataset", **paths, "metainfo": {"classes": CLASSES}, **settings}


def tiled(folder: Path, inner: dict[str, Any] | None = None, **settings: Any) -> TiledDataset:
    settings = {"sizes": [SIZE], "gaps": [GAP], **settings}
    built = build({"type": "TiledDataset", "dataset": config(folder, **inner or {}), **settings})
    assert isinstance(built, TiledDataset)
    return built


def write_patches(folder: Path, out: Path, size: int, gap: int, padded: bool = True) -> Path:
    """The obvious loop: every window cropped and written, its objects found with shapely."""
    for inner in ("images", "labels"):
        (out / inner).mkdir(parents=True)
    whole = build(config(folder, test_mode=True))
    for record in whole.records:
        pixels = cv2.imread(str(record.path))
        for x, y in product(
            *([*range(0, max(n - size, 0), size - gap), max(n - size, 0)] for n in pixels.shape[1::-1])
        ):
            part, window = pixels[y : y + size, x : x + size], shapely.box(x, y, x + size, y + size)
            name, (height, width) = f"{record.name}__{size}__{x}___{y}", part.shape[:2]
            if padded:
                fill = (0, size - height, 0, size - width)
                part = cv2.copyMakeBorder(part, *fill, cv2.BORDER_CONSTANT, value=(104, 116, 124))
            cv2.imwrite(str(out / f"images/{name}.png"), part)
            shapes = [shapely.Polygon(quad.reshape(4, 2)) for quad in record.instances.quads]
            share = np.array([shape.intersection(window).area / shape.area for shape in shapes])
            keep, marks = share >= 0.7, np.where(share < 1 - 1e-9, 2, record.instances.difficult)
            quads = (record.instances.quads - np.tile([x, y], 4)).round(1)[keep]
            write_labels(out / f"labels/{name}.txt", quads, record.instances.labels[keep], marks[keep])
    return out


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_images(tmp_path_factory.mktemp("whole"), IMAGES)


def same_records(tiles: Any, patches: Any) -> None:
    assert [r.name for r in tiles.records] == [r.name for r in patches.records]
    for ours, theirs in zip(tiles.records, patches.records, strict=True):
        for name in ("quads", "labels", "difficult", "ignored"):
            a, b = getattr(ours.instances, name), getattr(theirs.instances, name)
            np.testing.assert_array_equal(a, b, err_msg=f"{ours.name} {name}")


@pytest.mark.parametrize("test_mode", [True, False])
@pytest.mark.parametrize("padded", [True, False])
def test_the_same_as_patches_in_files(whole: Path, tmp_path: Path, test_mode: bool, padded: bool) -> None:
    filters = {"filter_cfg": {"filter_empty_gt": True, "min_size": 70}, "pipeline": LOAD}
    patches = build(config(write_patches(whole, tmp_path / "p", SIZE, GAP, padded), test_mode=test_mode, **filters))
    tiles = tiled(whole, {"test_mode": test_mode}, img_rate_thr=0.0, no_padding=not padded, cache_mb=0.1, **filters)
    same_records(tiles, patches)
    assert len(tiles) == 15 if test_mode else 8 < len(tiles) < 15
    rng = np.random.default_rng(0)
    for i in rng.permutation(len(tiles)).tolist():
        ours, theirs = tiles.sample(i, rng), patches.sample(i, rng)
        np.testing.assert_array_equal(ours.image, theirs.image)
        np.testing.assert_array_equal(ours.instances.quads, theirs.instances.quads)
        assert ours.size == ours.record.size == tiles.record(i).size
    a, b = tiles.annotations(), patches.annotations()
    assert a.images == b.images and (a.difficult == b.difficult).all() and (a.quads == b.quads).all()


def write_kinds(folder: Path) -> None:
    """Each image in another kind of file: striped and tiled TIFF, BMP, and JPEG, one of them turned."""
    for i, path in enumerate(sorted((folder / "images").iterdir())):
        pixels = cv2.imread(str(path))
        path.unlink()
        if i < 2:
            tile = (32, 48) if i else None
            write_tiff(path.with_suffix(".tif"), pixels[:, :, ::-1], 2, compression=8, tile=tile, rows=10)
        elif i == 2:
            cv2.imwrite(str(path.with_suffix(".bmp")), pixels)
        else:
            exif = Image.Exif()
            exif[0x0112] = 6 if i == 4 else 1
            Image.fromarray(pixels).save(path.with_suffix(".jpg"), exif=exif)


@pytest.mark.parametrize("settings", [{}, {"rates": [1.0, 0.5], "no_padding": True, "iof_thr": 0.3}])
def test_the_same_as_rotx_split_writes(tmp_path: Path, settings: dict[str, Any]) -> None:
    write_images(tmp_path, {**IMAGES, "turned": (260, 140), "z": (150, 150)})
    write_kinds(tmp_path)
    tiling = Tiling((SIZE,), (GAP,), **{key: tuple(v) if isinstance(v, list) else v for key, v in settings.items()})
    report = split([(tmp_path / "images", tmp_path / "labels")], tmp_path / "out", tiling, jobs=1)
    assert not report.failed
    patches = build(config(tmp_path / "out", ann_file="annfiles", test_mode=True))
    tiles = tiled(tmp_path, {"test_mode": True}, cache_mb=0.1, **settings)
    same_records(tiles, patches)
    for i in np.random.default_rng(0).permutation(len(tiles)).tolist():
        np.testing.assert_array_equal(read_record(tiles.record(i)), read_record(patches.record(i)))


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("ss_1024_200", {}),
        ("ms_1024_500", {"gaps": [500], "rates": [0.5, 1.0, 1.5]}),
        ("small_256_64_nopad", {"sizes": [256], "gaps": [64], "iof_thr": 0.5, "no_padding": True}),
    ],
)
def test_the_same_as_mmrotate_writes(shared: Path, tmp_path: Path, name: str, settings: dict[str, Any]) -> None:
    images, data = ("P0706", "P1888", "P0003", "P0004", "P0248"), shared / "data/dota_whole"
    for image, inner in product(images, ("images/{}.png", "labelTxt/{}.txt")):
        place = tmp_path / inner.format(image).replace("labelTxt", "labels")
        place.parent.mkdir(exist_ok=True)
        found = [p for p in data.rglob(inner.format(image)) if "split" not in p.parts]
        if not found:
            pytest.skip(f"needs {inner.format(image)} in data/dota_whole")
        place.symlink_to(found[0])
    golden = json.loads(gzip.decompress((GOLDENS / f"split/{name}.json.gz").read_bytes()))
    inner = {"test_mode": True, "metainfo": {"classes": "auto"}}
    dataset = tiled(tmp_path, inner, **{"sizes": [1024], "gaps": [200], **settings})
    assert [record.name for record in dataset.records] == sorted(golden)
    for record in dataset.records:
        says = golden[record.name]
        rows = zip(record.instances.quads.tolist(), record.instances.labels, record.instances.difficult, strict=True)
        lines = [line.split() for line in says["objects"]]
        assert [(*quad, dataset.classes[label], int(mark)) for quad, label, mark in rows] == [
            (*map(float, line[:8]), line[8], int(line[9])) for line in lines
        ]
        assert record.size == (says["height"], says["width"])
        assert hashlib.sha256(read_record(record).tobytes()).hexdigest() == says["sha256_bgr"]


def test_several_sizes_and_rates_give_each_window_once(whole: Path) -> None:
    tiles = tiled(whole, sizes=[100, 50], gaps=[30, 15], rates=[1.0, 0.5])
    names = [record.name for record in tiles.records]
    assert len(set(names)) == len(names)
    sides = set()
    for record in tiles.records:
        x0, y0, x1, _ = record.window.area
        side = x1 - x0
        sides.add(side)
        assert record.name.endswith(f"__{side}__{x0}___{y0}")
        assert record.size == (side, side) == read_record(record).shape[:2]
    assert sides == {50, 100, 200}


def test_what_is_said(whole: Path) -> None:
    tiles = tiled(whole, img_rate_thr=0.0, filter_cfg={"filter_empty_gt": True})
    makes, leaves = tiles.notices
    inside = set()
    for record in tiles.records:
        corner = np.tile(record.window.area[:2], 4)
        inside |= {(str(record.path), *(quad + corner).round(1)) for quad in record.instances.quads}
    assert makes == f"4 images make 15 windows; {75 - len(inside)} of 75 objects are in no window" and len(inside) < 75
    assert leaves == f"filter_cfg leaves out, of 15 windows, {15 - len(tiles)} without an object"
    with pytest.raises(ValueError, match="filter_cfg leaves none: of 15 windows, 2 without an object, 13 more with a"):
        tiled(whole, img_rate_thr=0.0, filter_cfg={"filter_empty_gt": True, "min_size": 101})


def test_the_other_dataset_says_what_is_ignored_and_dropped(tmp_path: Path) -> None:
    write_images(tmp_path, {"P1": (150, 90), "P2": (90, 90)})
    ship, line = [10, 10, 40, 10, 40, 30, 10, 30], [5, 5, 9, 9, 13, 13, 7, 7]
    plane = [130, 10, 160, 10, 160, 20, 130, 20]
    write_labels(tmp_path / "labels/P1.txt", np.array([ship, line, plane]), [0, 0, 1], [1, 0, 0])
    tiles = tiled(tmp_path, {"diff_thr": 0}, iof_thr=0.5)
    assert tiles.dropped == {"zero area": 1} and any("zero area" in notice for notice in tiles.notices)
    first, second = tiles.records[:2]
    assert (first.name, first.instances.difficult.tolist(), first.instances.ignored.tolist()) == (
        "P1__100__0___0",
        [1],
        [True],
    )
    assert (second.instances.difficult.tolist(), second.instances.ignored.tolist()) == ([2], [False])


def test_objects_of_difficulty_2_are_those_cut_by_the_window(tmp_path: Path) -> None:
    write_images(tmp_path, {"P1": (170, 90), "P2": (90, 90)})
    write_labels(tmp_path / "labels/P1.txt", np.array([[80, 10, 108, 10, 108, 30, 80, 30]]), [0], [1])
    tiles = tiled(tmp_path, {"test_mode": True})
    assert [record.instances.difficult.tolist() for record in tiles.records] == [[2], [1], []]
    assert tiles.annotations().difficult.tolist() == [2, 1]
    assert tiles.whole.annotations().difficult.tolist() == [1]


# Moving windows


def draws(tiles: TiledDataset, index: int, seeds: range) -> Iterator[Any]:
    return (tiles.sample(index, np.random.default_rng(seed)) for seed in seeds)


def test_windows_move_within_the_image(whole: Path) -> None:
    tiles, still = tiled(whole, random_offset=True, pipeline=LOAD), tiled(whole, pipeline=LOAD)
    reach = (SIZE - GAP) // 2
    for index, record in enumerate(still.records):
        name, corner = record.name.split("__100__")
        width, height = IMAGES[name]
        x, y = map(int, corner.split("___"))
        pixels, seen = cv2.imread(str(record.path)), set()
        for sample in draws(tiles, index, range(60)):
            moved, corner = sample.record.name.split("__100__")
            at = tuple(map(int, corner.split("___")))
            seen.add(at)
            assert moved == name and sample.size == (SIZE, SIZE)
            np.testing.assert_array_equal(
                sample.image[: height - at[1], : width - at[0]], pixels[at[1] :, at[0] :][:SIZE, :SIZE]
            )
        most = max(width - SIZE, 0), max(height - SIZE, 0)
        for axis, grid in enumerate((x, y)):
            low, high = max(grid - reach, 0), min(grid + reach, most[axis])
            values = [at[axis] for at in seen]
            assert low <= min(values) and max(values) <= high
            assert (min(values), max(values)) == (low, high) or high - low > 30
        assert len(seen) > 20 or sum(most) < 100


def test_moved_windows_get_their_objects_by_the_same_rule(whole: Path) -> None:
    tiles = tiled(whole, random_offset=True, pipeline=LOAD)
    whole_images = {record.name: record for record in build(config(whole)).records}
    marks = set()
    for index in range(len(tiles)):
        for sample in draws(tiles, index, range(5)):
            name, corner = sample.record.name.split("__100__")
            x, y = map(int, corner.split("___"))
            record, window = whole_images[name], shapely.box(x, y, x + SIZE, y + SIZE)
            shapes = [shapely.Polygon(quad.reshape(4, 2)) for quad in record.instances.quads]
            share = np.array([shape.intersection(window).area / shape.area for shape in shapes])
            np.testing.assert_allclose(
                sample.instances.boxes + np.tile([x, y], 4), record.instances.quads[share >= 0.7]
            )
            expected = np.where(share < 1 - 1e-9, 2, record.instances.difficult)[share >= 0.7]
            assert sample.record.instances.difficult.tolist() == expected.tolist()
            marks |= set(expected.tolist())
    assert marks == {0, 1, 2}


def test_the_offset_is_that_of_the_draw(whole: Path) -> None:
    """Whatever was drawn before, and by whichever worker: so that a resumed training sees the same."""
    steps = [*LOAD, {"type": "RandomFlip", "prob": 0.5}]
    tiles = tiled(whole, random_offset=True, pipeline=steps, filter_cfg={"filter_empty_gt": True})

    def epoch(number: int, workers: int) -> dict[int, tuple[str, torch.Tensor, torch.Tensor]]:
        batches = DefaultSampler(shuffle=True).batches(tiles, 2, seed=3, epoch=number)
        loader = build_loader(tiles, batches, num_workers=workers, seed=3)
        positions = [draw.position for batch in batches for draw in batch]
        items = [item for batch in loader for item in batch]
        return {p: (item.name, item.image, item.instances.boxes) for p, item in zip(positions, items, strict=True)}

    alone, again, other = epoch(0, 0), epoch(0, 2), epoch(1, 0)
    for position, (name, image, boxes) in alone.items():
        assert again[position][0] == name
        assert torch.equal(again[position][1], image) and torch.equal(again[position][2], boxes)
    grid = {record.name for record in tiles.records}
    names, later = ({name for name, _, _ in found.values()} for found in (alone, other))
    assert not names & later or len(names & later) < len(names) / 2
    assert len(names - grid) > len(names) / 2


# Among others


def test_wrappers_around_tiles_and_tiles_around_wrappers(whole: Path, tmp_path: Path) -> None:
    write_images(tmp_path, {"Q1": (150, 90), "Q2": (90, 90)})
    one = {"type": "TiledDataset", "dataset": config(whole), "sizes": [SIZE], "gaps": [GAP], "pipeline": LOAD}
    two = {**one, "dataset": config(tmp_path)}
    both = build({"type": "ConcatDataset", "datasets": [one, two]})
    inner = {"type": "ConcatDataset", "datasets": [config(whole), config(tmp_path)]}
    joined = build({**one, "dataset": inner})
    names = [record.name for record in joined.records]
    assert names == sorted(names) == sorted(record.name for record in both.records)
    by_name = {record.name: i for i, record in enumerate(both.records)}
    for i, name in enumerate(names):
        a, b = (d.sample(k, np.random.default_rng(0)) for d, k in ((joined, i), (both, by_name[name])))
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.instances.quads, b.instances.quads)
    assert sum("images make" in notice for notice in both.notices) == 2
    thrice = build({"type": "RepeatDataset", "dataset": one, "times": 3})
    assert len(thrice) == 3 * len(build(one))
    balanced = build({"type": "ClassBalancedDataset", "dataset": one, "oversample_thr": 1.0})
    assert len(balanced) > len(build(one)) and balanced.sample(0, np.random.default_rng(0)).size == (SIZE, SIZE)


def test_a_copy_for_another_process_reads_the_same(whole: Path) -> None:
    tiles = tiled(whole, pipeline=LOAD)
    tiles.sample(0, np.random.default_rng(0))
    copy = pickle.loads(pickle.dumps(tiles))
    for i in range(len(tiles)):
        np.testing.assert_array_equal(read_record(copy.record(i)), read_record(tiles.record(i)))


# What is wrong


def test_images_that_cannot_be_read(tmp_path: Path) -> None:
    write_images(tmp_path, {"P1": (150, 90), "P2": (90, 150), "P3": (90, 90)})
    (tmp_path / "images/P2.png").write_bytes(b"no image")
    tiles = tiled(tmp_path)
    assert {record.name[:2] for record in tiles.records} == {"P1", "P3"}
    assert tiles.notices[0].startswith("1 of 3 images cannot be read and are left out; first ")
    with pytest.raises(ValueError, match=r"1 of 3 images cannot be read: repair them, or .*P2.png: is no PNG"):
        tiled(tmp_path, {"test_mode": True})
    for name in ("P1", "P3"):
        (tmp_path / f"images/{name}.png").write_bytes(b"")
    with pytest.raises(ValueError, match="3 of 3 images cannot be read"):
        tiled(tmp_path)


def test_a_damaged_image_is_skipped_and_counted(tmp_path: Path) -> None:
    write_images(tmp_path, {"P1": (200, 500), "P2": (200, 100)})
    path = tmp_path / "images/P1.png"
    content = bytearray(path.read_bytes())
    content[200_000:200_500] = bytes(500)
    path.write_bytes(content)
    tiles = tiled(tmp_path, pipeline=LOAD)
    last = [record.name for record in tiles.records].index("P1__100__0___400")
    with pytest.raises(UnreadableImage, match=r"P1\.png"):
        tiles.sample(last, np.random.default_rng(0))
    batches = DefaultSampler(shuffle=False).batches(tiles, 4, seed=0, epoch=0)
    items = [item for batch in build_loader(tiles, batches, num_workers=1) for item in batch]
    assert len(items) >= len(tiles) and all(item.image.shape == (3, SIZE, SIZE) for item in items)
    assert sum(map(len, (item.skipped for item in items))) >= 2


@pytest.mark.parametrize(
    ("settings", "inner", "said"),
    [
        ({}, {"pipeline": LOAD}, "dataset: pipeline is a setting of windows: move it to the TiledDataset"),
        ({}, {"filter_cfg": {"min_size": 32}}, "dataset: filter_cfg is a setting of windows: move it"),
        ({"random_offset": True}, {"test_mode": True}, "random_offset: need True or False, and True only in training"),
        ({"random_offset": 5}, {}, "random_offset: need True or False"),
        ({"cache_mb": -1}, {}, "cache_mb: need a number of at least 0, got -1"),
        ({"cache_mb": float("nan")}, {}, "cache_mb: need a number"),
        ({"cache_mb": "big"}, {}, "cache_mb: need a number of at least 0, got 'big'"),
        ({"gaps": [100]}, {}, "gaps: need 0 or more, and less than the size"),
        ({"size": [100]}, {}, "takes no 'size': did you mean 'sizes'?"),
        ({"filter_cfg": {"filter_empty": True}}, {}, "filter_cfg takes no 'filter_empty'; did you mean"),
        ({"pipeline": [{"type": "LoadImageFromFile"}]}, {}, "pipeline: needs LoadAnnotations"),
        ({"pipeline": [*LOAD, {"type": "RandomFlip", "prob": 1}]}, {"test_mode": True}, "is for training"),
    ],
)
def test_settings_that_are_wrong(whole: Path, settings: dict[str, Any], inner: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        tiled(whole, inner, **settings)
    assert said in str(caught.value)


def test_what_tiles_are_not_made_of(whole: Path) -> None:
    settings = {"type": "TiledDataset", "sizes": [SIZE], "gaps": [GAP]}
    for inner, said in (
        ({**settings, "dataset": config(whole)}, "dataset: need a dataset of whole images, got another TiledDataset"),
        (3, r"dataset: need a dataset, dict\(type=...\), got 3"),
        (
            {"type": "RepeatDataset", "times": 2, "dataset": config(whole, pipeline=LOAD)},
            "dataset.datasets.0: pipeline is a setting of windows",
        ),
    ):
        with pytest.raises(ValueError, match=said):
            build({**settings, "dataset": inner})
