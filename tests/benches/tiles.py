"""Splitting and merging against the obvious loops, whole processes in one run; memory of splitting a huge image.

    python tests/benches/tiles.py

Real images come from the folder of real data, ROTX_SHARED; what is made of them stays in bench-data. The limit of the
codecs is the time that decoding the images and encoding the patches takes, and nothing else, shared out over the
threads.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
from dota_like import scene_of
from measure import DATA, process, report

from rotx.evaluation import write_task1
from rotx.geometry import rbox_to_quad
from rotx.records import InstanceTable

HERE = Path(__file__).parent
SHARED = Path(os.environ.get("ROTX_SHARED", HERE.parents[2] / "shared"))
ROTX = Path(sys.executable).with_name("rotx")
OUT = DATA / "tiles-out"
COPIES = 32
SIDE = 20_000
SIZE, STEP = 1024, 824


def tiles() -> None:
    """Prints all of it."""
    for count, images in ((100_000, "many"), (2_000_000, "many"), (2_000_000, "one")):
        merging(count, images)
    if not SHARED.is_dir():
        print("splitting: skipped, needs real images: set ROTX_SHARED")
        return
    splitting("DOTA's", *real_images(), runs=2)
    images = huge_images()
    splitting(f"{SIDE:,} x {SIDE:,} pixels", images / "png", images / "none", runs=1)
    for kind in ("png", "tif"):
        memory = resident(ROTX, "split", images / kind, fresh(), "--size", SIZE, "--gap", SIZE - STEP, "--jobs", 2)
        print(f"{f'split {SIDE:,} x {SIDE:,} {kind}, greatest memory':<44} {memory:9.0f} MB (under 400 MB)", flush=True)
    shutil.rmtree(OUT, ignore_errors=True)


# Splitting


def splitting(name: str, images: Path, labels: Path, runs: int) -> None:
    """Patches a second of `rotx split` and of the loop, and how near that is to what the codecs allow."""
    options = ["--size", SIZE, "--gap", SIZE - STEP, *(["--ann", labels] if labels.is_dir() else [])]
    # In turn, so that what else the machine does hits all of them.
    seconds: dict[int, list[float]] = {0: [], 1: [], 2: []}
    for _ in range(runs):
        seconds[0].append(process(sys.executable, HERE / "obvious.py", "split", images, labels, fresh())[0])
        patches = len(list((OUT / "images").iterdir()))
        for jobs in (1, 2, 1, 2):
            seconds[jobs].append(process(ROTX, "split", images, fresh(), *options, "--jobs", jobs)[0])
            assert len(list((OUT / "images").iterdir())) == patches
    decoding, encoding = codecs(images)
    loop = min(seconds[0])
    print(f"split {patches:,} patches of {name}: {patches / loop:.1f} patches/s by the loop", flush=True)
    for jobs, times in ((1, 4), (2, 7)):
        ours, limit = min(seconds[jobs]), (decoding + encoding) / jobs
        print(f"{f'  rotx split, jobs {jobs}':<44} {patches / ours:9.1f} patches/s", end="")
        print(
            f" {loop / ours:6.2f} times the loop (at least {times}), {limit / ours:.0%} of the codecs' limit",
            flush=True,
        )
    print(f"{'  the codecs alone':<44} {decoding:9.2f} s to decode, {encoding:.2f} s to encode", flush=True)


def codecs(images: Path) -> tuple[float, float]:
    """Seconds to decode all images and to encode all patches, on one thread."""
    run = ["cargo", "run", "--quiet", "--release", "--package", "rotx-core", "--example", "codecs", "--"]
    files = sorted(map(str, images.iterdir()))
    text = subprocess.run([*run, *files], cwd=HERE.parents[1], capture_output=True, text=True, check=True).stdout
    decoding, encoding, _ = text.split()
    return float(decoding), float(encoding)


def resident(*command: object) -> float:
    """Greatest resident memory in MB of a process, as /usr/bin/time sees it.

    Not by `process`: what it starts counts the memory that this process had then, too.
    """
    words = ["/usr/bin/time", "-v", *map(str, command)]
    text = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=True).stderr
    found = re.search(r"Maximum resident set size \(kbytes\): (\d+)", text)
    assert found, text
    return int(found[1]) / 1024


def fresh() -> Path:
    """A folder for patches that is not there yet."""
    shutil.rmtree(OUT, ignore_errors=True)
    return OUT


def real_images() -> tuple[Path, Path]:
    """Images of DOTA and their labels, several times under other names."""
    folder = DATA / "dota-copies"
    for kind in ("images", "labelTxt"):
        (folder / kind).mkdir(parents=True, exist_ok=True)
        for name in ("P0706", "P1888", "P0003", "P0004", "P0248"):
            (path,) = (SHARED / "data/dota_whole").rglob(f"{kind}/{name}.*")
            for i in range(COPIES):
                shutil.copy(path, folder / kind / f"{name}_{i}{path.suffix}")
    return folder / "images", folder / "labelTxt"


def huge_images() -> Path:
    """A folder with one image as PNG and as TIFF: a map of the world, repeated."""
    folder = DATA / "huge"
    paths = [folder / "png" / "relief.png", folder / "tif" / "relief.tif"]
    if not all(path.is_file() for path in paths):
        world = cv2.imread(str(SHARED / "data/large_images/shadedrelief.jpg"))
        across, down = -(-SIDE // world.shape[1]), -(-SIDE // world.shape[0])
        image = np.tile(world, (down, across, 1))[:SIDE, :SIDE]
        for path in paths:
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), image)
    return folder


# Merging


def merging(count: int, images: str) -> None:
    """The whole process `rotx merge`, on images of 4,000 x 4,000 pixels or one huge image, and how it grows."""
    seconds = {}
    for n in (count // 10, count):
        folder = DATA / f"patched-{images}-{n}"
        if not folder.is_dir():
            write_patched(folder, n, images)
        seconds[n] = min(process(ROTX, "merge", folder, OUT / "merged")[0] for _ in range(3))
    what = f"merge {count:,} detections, {images} image{'s' if images == 'many' else ''}"
    if count <= 100_000:
        loop = process(sys.executable, HERE / "obvious.py", "merge", folder, fresh())[0]
        report(what, seconds[count], loop, "a loop with shapely", "below 0.1")
    else:
        report(what, seconds[count], seconds[count // 10], "a tenth of them", "at most 12")
        memory = resident(ROTX, "merge", folder, OUT / "merged")
        print(f"{'  rows a second':<44} {count / seconds[count]:9,.0f}     greatest memory {memory:.0f} MB", flush=True)


def write_patched(folder: Path, count: int, images: str) -> None:
    """Task1 files of detections on patches of 15 classes, as dense as DOTA's."""
    rng = np.random.default_rng(0)
    boxes, scores, source = scene_of(rng, count)
    cell = np.floor(boxes[:, :2] / 4000).astype(int) if images == "many" else np.zeros((count, 2), int)
    boxes[:, :2] -= 4000 * cell
    corner = (boxes[:, :2] // STEP).astype(int).clip(0) * STEP
    boxes[:, :2] -= corner
    columns = np.column_stack([cell, corner])
    patches, image = np.unique(columns, axis=0, return_inverse=True)
    names = [f"P{i}_{j}__{SIZE}__{x}___{y}" for i, j, x, y in patches.tolist()]
    classes = [f"class-{i}" for i in range(15)]
    quads, label = rbox_to_quad(boxes).round(2), rng.integers(15, size=count)[source]
    arrays = image.reshape(-1).astype(np.int32), label.astype(np.int32)
    write_task1(InstanceTable(names, classes, quads, "quad", *arrays, scores.round(6)), folder)


if __name__ == "__main__":
    tiles()
