"""What `rotx split` writes: equal to MMRotate's patches, and to a slow, obvious loop."""

from __future__ import annotations

import gzip
import hashlib
import json
import shutil
from decimal import Decimal
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from shapely.geometry import Polygon, box

from conftest import GOLDENS
from rotx.cli import main
from rotx.tiling.split import split
from rotx.tiling.windows import PRESETS, Tiling, move_quads, patch_name

#: The images of the goldens, and where they are.
WHOLE = {"P0706": "devkit_example", "P1888": "devkit_example", "P0003": "lin_sinorodin/val"}
WHOLE |= {"P0004": "lin_sinorodin/val", "P0248": "s2anet_example"}
SETTINGS: dict[str, dict[str, Any]] = {
    "ss_1024_200": {"sizes": [1024], "gaps": [200], "rates": [1.0], "iof_thr": 0.7},
    "ms_1024_500": {"sizes": [1024], "gaps": [500], "rates": [0.5, 1.0, 1.5], "iof_thr": 0.7},
    "small_256_64_nopad": {"sizes": [256], "gaps": [64], "iof_thr": 0.5, "no_padding": True},
}


def contents(folder: Path) -> dict[str, bytes]:
    """All files of a folder."""
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


def write_images(folder: Path, sizes: dict[str, tuple[int, int]], seed: int = 0) -> dict[str, np.ndarray]:
    """Smooth noise of these widths and heights, as PNG."""
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    images = {}
    for name, (width, height) in sizes.items():
        small = rng.integers(0, 256, (height // 4 + 1, width // 4 + 1, 3), np.uint8)
        images[name] = cv2.resize(small, (width, height))
        encoded = cv2.imencode(".png", images[name])[1]
        (folder / f"{name}.png").write_bytes(encoded.tobytes())
    return images


def values(line: str) -> tuple[Any, ...]:
    *corners, name, difficulty = line.split()
    return (*map(float, corners), name, int(difficulty))


@pytest.mark.parametrize("name", SETTINGS)
def test_patches_are_those_of_mmrotate(name: str, shared: Path, tmp_path: Path) -> None:
    images, labels = tmp_path / "images", tmp_path / "labels"
    images.mkdir()
    labels.mkdir()
    for image, folder in WHOLE.items():
        source = shared / "data/dota_whole" / folder
        shutil.copy(next(source.rglob(f"{image}.png")), images)
        shutil.copy(next(source.rglob(f"{image}.txt")), labels)
    config = {"nproc": 2, "img_dirs": [str(images)], "ann_dirs": [str(labels)], "padding_value": [104, 116, 124]}
    config |= {"save_dir": str(tmp_path / "out"), "save_ext": ".png", **SETTINGS[name]}
    (tmp_path / "config.json").write_text(json.dumps(config))
    done = CliRunner().invoke(main, ["split", str(tmp_path / "config.json")])
    assert done.exit_code == 0, done.output
    golden = json.loads(gzip.decompress((GOLDENS / f"split/{name}.json.gz").read_bytes()))
    assert {file.stem for file in (tmp_path / "out/images").iterdir()} == set(golden)
    assert {file.stem for file in (tmp_path / "out/annfiles").iterdir()} == set(golden)
    for patch, expected in golden.items():
        pixels = cv2.imread(str(tmp_path / f"out/images/{patch}.png"))
        assert pixels.shape == (expected["height"], expected["width"], 3)
        assert hashlib.sha256(pixels.tobytes()).hexdigest() == expected["sha256_bgr"]
        lines = (tmp_path / f"out/annfiles/{patch}.txt").read_text().splitlines()
        assert [values(line) for line in lines] == [values(line) for line in expected["objects"]]


TILINGS = [
    Tiling(sizes=(64,), gaps=(16,)),
    Tiling(sizes=(100,), gaps=(0,), no_padding=True),
    Tiling(sizes=(96, 50), gaps=(32, 7), rates=(0.5, 1.0), padding_value=(1, 2, 3), img_rate_thr=0.3),
    Tiling(sizes=(300, 41), gaps=(299, 0), img_rate_thr=0.0, no_padding=True),
]


@pytest.mark.parametrize("tiling", TILINGS, ids=range(len(TILINGS)))
def test_pixels_are_those_of_a_loop_for_any_number_of_threads(tiling: Tiling, tmp_path: Path) -> None:
    sizes = {"a": (301, 217), "b": (30, 170), "c": (64, 64), "d": (1, 1), "e": (131, 420), "f": (500, 33)}
    images = write_images(tmp_path / "in", sizes)
    wanted = {}
    for name, pixels in images.items():
        for x0, y0, x1, y1 in tiling.windows(pixels.shape[1], pixels.shape[0]).tolist():
            patch = pixels[y0:y1, x0:x1]
            if not tiling.no_padding:
                whole = np.empty((y1 - y0, x1 - x0, 3), np.uint8)
                whole[:] = tiling.padding_value
                whole[: patch.shape[0], : patch.shape[1]] = patch
                patch = whole
            wanted[patch_name(name, (x0, y0, x1, y1))] = patch
    written = []
    for jobs in (1, 2, 5):
        report = split([(tmp_path / "in", None)], tmp_path / f"out{jobs}", tiling, jobs=jobs)
        assert report.totals == {"images": 6, "patches": len(wanted)}
        written.append(contents(tmp_path / f"out{jobs}"))
    assert written[0] == written[1] == written[2]
    assert set(written[0]) == {f"images/{name}.png" for name in wanted} | {"manifest.json"}
    for name, patch in wanted.items():
        np.testing.assert_array_equal(cv2.imread(str(tmp_path / f"out1/images/{name}.png")), patch)


def test_a_bmp_is_split_as_a_png_is(tmp_path: Path) -> None:
    """OpenCV decodes it, and whole; also where its name says something else."""
    sizes = {"a": (300, 217), "b": (90, 130), "c": (64, 50)}
    for name, pixels in write_images(tmp_path / "png", sizes).items():
        content = cv2.imencode(".bmp", pixels)[1].tobytes()
        file = tmp_path / "bmp" / f"{name}.{'png' if name == 'b' else 'bmp'}"
        file.parent.mkdir(exist_ok=True)
        file.write_bytes(content)
    (tmp_path / "bmp/cut.bmp").write_bytes(content[:-1])
    tiling = Tiling((64,), (16,))
    for jobs in (1, 3):
        report = split([(tmp_path / "bmp", None)], tmp_path / f"out{jobs}", tiling, jobs=jobs)
        assert report.failed == {"cut.bmp": "is cut off: the end of the image is missing"}
        split([(tmp_path / "png", None)], tmp_path / f"png{jobs}", tiling, jobs=jobs)
        patches, expected = contents(tmp_path / f"out{jobs}/images"), contents(tmp_path / f"png{jobs}/images")
        assert patches == expected
        assert len(patches) > 20


def test_labels_are_those_of_shapely(tmp_path: Path) -> None:
    tiling = Tiling(sizes=(100, 60), gaps=(30, 0), iof_thr=0.6)
    write_images(tmp_path / "images", {"P1": (250, 190)})
    rng = np.random.default_rng(5)
    lines = []
    for i in range(300):
        (x, y), (w, h), turn = rng.uniform(-20, 260, 2), rng.uniform(2, 60, 2), rng.uniform(0, 3)
        quad = cv2.boxPoints(((x, y), (w, h), np.degrees(turn))).round(3)
        lines.append(" ".join(f"{v:.3f}" for v in quad.ravel()) + f" {'ship' if i % 3 else 'plane'} {i % 2}")
    (tmp_path / "labelTxt").mkdir()
    (tmp_path / "labelTxt/P1.txt").write_text("imagesource:a\ngsd:\n" + "\n".join(lines))
    report = split([(tmp_path / "images", tmp_path / "labelTxt")], tmp_path / "out", tiling)
    used = set()
    for x0, y0, x1, y1 in tiling.windows(250, 190).tolist():
        expected = []
        for i, line in enumerate(lines):
            *corners, name, difficulty = line.split()
            polygon = Polygon(np.array(corners, float).reshape(4, 2))
            share = polygon.intersection(box(x0, y0, x1, y1)).area / polygon.area
            if share >= 0.6:
                used.add(i)
                moved = [float(Decimal(v) - o) for v, o in zip(corners, (x0, y0) * 4, strict=True)]
                inside = box(x0, y0, x1, y1).covers(polygon)
                expected.append(" ".join(map(repr, moved)) + f" {name} {difficulty if inside else 2}")
        text = (tmp_path / f"out/annfiles/{patch_name('P1', (x0, y0, x1, y1))}.txt").read_text()
        assert text.splitlines() == expected
    lost = report.totals["in_no_patch"]
    assert report.totals["objects"] == 300 == len(used) + sum(lost.values())
    assert lost["outside the image"] > 0 and lost["cut by every window"] > 0


def test_the_manifest_counts_what_is_in_no_patch_and_why(tmp_path: Path) -> None:
    write_images(tmp_path / "images", {"P1": (100, 100), "P2": (10, 10)})
    objects = {
        "inside": "10 10 20 10 20 20 10 20 ship 0",
        "a line": "10 10 20 10 30 10 15 10 ship 0",
        "a point": "5 5 5 5 5 5 5 5 ship 0",
        "far off": "500 10 520 10 520 20 500 20 ship 0",
        "on the edge": "95 10 115 10 115 20 95 20 ship 0",
    }
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/P1.txt").write_text("\n".join(objects.values()))
    (tmp_path / "labels/P3.txt").write_text("")
    report = split([(tmp_path / "images", tmp_path / "labels")], tmp_path / "out", Tiling((100,), (0,)))
    reasons = {"no area": 2, "outside the image": 1, "cut by every window": 1}
    totals = {"images": 2, "patches": 2, "objects": 5, "in_patches": 1, "in_no_patch": reasons}
    manifest = json.loads((tmp_path / "out/manifest.json").read_text())
    assert report.totals == manifest["totals"] == totals
    assert [image["file"] for image in manifest["images"]] == ["P1.png", "P2.png"]
    assert manifest["images"][0] | {"width": 100, "height": 100, "in_no_patch": reasons} == manifest["images"][0]
    assert (tmp_path / "out/annfiles/P2__100__0___0.txt").read_bytes() == b""
    assert str(tmp_path) not in (tmp_path / "out/manifest.json").read_text()
    assert any("1 images have no annotations and are split without objects: P2" in notice for notice in report.notices)
    assert any("1 annotated images are missing: P3" in notice for notice in report.notices)


def test_moved_coordinates_keep_their_decimals() -> None:
    quads = np.array([[1023.456, 0.1, 1000, 7.25, -3.3, 1e12, 1 / 3, 99.999999999]])
    moved = move_quads(quads, np.array([1000, 24])).tolist()[0]
    assert moved[:5] == [23.456, -23.9, 0.0, -16.75, -1003.3]
    np.testing.assert_allclose(moved, quads[0] - np.tile([1000, 24], 4), rtol=1e-12)


def test_settings_that_give_a_window_twice_give_it_once() -> None:
    tiling = Tiling(sizes=(100, 50), gaps=(0, 0), rates=(1.0, 0.5))
    windows = tiling.windows(200, 100).tolist()
    assert tiling.squares == [(100, 0), (50, 0), (200, 0), (100, 0)]
    assert len(windows) == len({tuple(window) for window in windows})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sizes": ()}, "sizes: need a list of numbers"),
        ({"sizes": (1024, 512)}, "gaps: need one for each of 2 sizes, got 1"),
        ({"sizes": (200,)}, "gaps: need 0 or more, and less than the size, got 200 for size 200"),
        ({"sizes": (10.5,)}, "sizes: need whole numbers up to 1,000,000,000, got 10.5"),
        ({"sizes": (10**30,)}, "sizes: need whole numbers up to"),
        ({"rates": (10**400,)}, "rates: need numbers up to"),
        ({"rates": (0,)}, "rates: need numbers greater than 0, got 0"),
        ({"rates": (float("nan"),)}, "rates: need numbers up to 1,000,000,000, got nan"),
        ({"rates": (3000.0,)}, "got 0 for size 0"),
        ({"iof_thr": 70}, "iof_thr: need a share from 0 to 1, got 70"),
        ({"sizes": (50_000,)}, "sizes: need windows of at most 32,768 pixels, got 50,000; with no padding they may be"),
        ({"rates": (1.0, 1e-30)}, "sizes: need windows of at most 32,768 pixels, got 1.024e\\+33"),
        ({"rates": (1e-320,), "no_padding": True}, "sizes: need windows of at most 1,000,000,000 pixels, got inf"),
        ({"padding_value": (1, 2)}, "padding_value: need blue, green and red"),
        ({"padding_value": 300}, "padding_value: need blue, green and red"),
        ({"no_padding": 1}, "no_padding: need true or false, got 1"),
    ],
)
def test_settings_without_sense_are_named(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Tiling(**settings)


def test_presets_are_those_of_mmrotate() -> None:
    assert len(PRESETS) == 6
    assert PRESETS["dota1.0-ss"].squares == [(1024, 200)]
    assert PRESETS["dota2.0-ms"].squares == [(2048, 1000), (1024, 500), (682, 333)]
