"""`rotx predict` on a huge mosaic of synthetic scenes, PNG and tiled TIFF, against the detector on the scenes alone.

    make demo
    python tests/benches/mosaic.py [--size 20000]

Prints mAP50 of both, copies (IoU above the detector's own threshold) and pieces of objects, memory, time, and whether
a run that is killed twice ends with the same bytes. Mosaics stay in bench-data.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from measure import DATA
from numpy.typing import NDArray

from rotx.annotations.formats import read_annotations
from rotx.datasets.synthetic import write_dataset
from rotx.evaluation import evaluate_boxes, get_protocol
from rotx.geometry import area, box_iou, quad_to_rbox
from rotx.records import InstanceTable

ROOT = Path(__file__).parents[2]
MODEL = (ROOT / "configs/demo/oriented-rcnn-le90_r18-half_fpn_4e_synthetic.py", ROOT / "demo/work/epoch_4.pth")
ROTX = [sys.executable, "-c", "from rotx.cli import main; main()", "predict", *map(str, MODEL)]
SCENE, SCENES = 256, 338
#: The detector's own; and which share of a detection in a larger one makes it a piece.
NMS_IOU, PIECE = 0.1, 0.5
#: For the mAP, and what `rotx predict` shows unless it is told otherwise.
SCORE, SHOWN = 0.05, 0.3

Pixels = NDArray[np.uint8]
#: Of each image quads, scores and labels.
Found = list[tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.int64]]]


def mosaic(size: int, window: int) -> None:
    """Prints all of it."""
    folder = DATA / f"mosaic-{size}"
    scenes = scenes_of(folder.with_name("mosaic-scenes"))
    files = [folder / "mosaic.png", folder / "mosaic.tif"]
    if not all(file.is_file() for file in files):
        folder.mkdir(parents=True, exist_ok=True)
        images = [cv2.imread(str(path)) for path in scenes]
        write_png(files[0], size, images)
        write_tiff(files[1], size, images)
    truth = read_annotations(scenes[0].parents[1] / "labelTxt")
    options = ["--score-thr", str(SCORE), "--device", "cpu"]
    base, _ = predict(folder / "out-one", scenes[0], options)
    predict(folder / "out-scenes", scenes[0].parent, options)
    alone = found_in(folder / "out-scenes")
    cells = [alone[k % len(scenes)] for k in range((size // SCENE) ** 2)]
    parts = [objects_of(truth, k % len(scenes)) for k in range(len(cells))]
    different = min(SCENES, len(cells))
    print(f"{'scenes alone':<16} mAP50 {score(cells, parts):.4f}  {len(cells):,} scenes, {different} different")
    print(f"{'':<16} {seams(cells)}", flush=True)
    options += ["--window", str(window)]
    whole = [tuple(np.concatenate(column) for column in zip(*at_cells(parts, size), strict=True))]
    kill_after: float | None = None
    for file in files:
        out = folder / f"out-{file.suffix[1:]}"
        memory, seconds = predict(out, file, options, kill_after)
        found = found_in(out)
        print(f"{file.name:<16} mAP50 {score(found, whole):.4f}  {seconds:.0f} s", flush=True)
        print(f"{'':<16} {seams(found)}")
        print(f"{'':<16} {memory:.0f} MB, {memory - base:.0f} MB more than on one scene (under 400 MB)", flush=True)
        kill_after = seconds / 3
    first, second = (folder / f"out-{kind}/predictions.json" for kind in ("png", "tif"))
    same = first.read_text().replace("mosaic.png", "mosaic.tif") == second.read_text()
    print(f"the second run was killed twice and continued: {'the same bytes' if same else 'OTHER BYTES'}")


def predict(out: Path, source: Path, options: list[str], kill_after: float | None = None) -> tuple[float, float]:
    """Runs the command; gives its greatest resident memory in MB, and its seconds.

    Args:
        out: made anew.
        source: what is looked at.
        options: further words.
        kill_after: seconds after which it is killed and continued, twice.
    """
    shutil.rmtree(out, ignore_errors=True)
    command, most, start = [*ROTX, str(source), "--out", str(out), *options], 0, time.perf_counter()
    for after in (kill_after, kill_after, None):
        begun = time.perf_counter()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        with ThreadPoolExecutor(1) as reader:
            errors = reader.submit(child.stderr.read)
            while child.poll() is None:
                status = Path(f"/proc/{child.pid}/status").read_text()
                found = re.search(r"VmHWM:\s+(\d+) kB", status)
                most = max(most, int(found[1]) if found else 0)
                if after is not None and time.perf_counter() - begun > after:
                    child.kill()
                time.sleep(0.1)
        if child.returncode == 0:
            return most / 1024, time.perf_counter() - start
        assert after is not None, errors.result().decode()
    raise AssertionError("it was killed and has not ended")


# Mosaics


def scenes_of(folder: Path) -> list[Path]:
    """The images of different scenes."""
    if not (folder / "synthetic.json").is_file():
        write_dataset(folder, train=0, val=SCENES, size=SCENE, seed=7)
    return sorted((folder / "val/images").iterdir())


def bands(size: int, images: list[Pixels]) -> Iterator[Pixels]:
    """The mosaic from the top, a row of scenes at a time; what is too narrow for a scene is grey."""
    side = size // SCENE
    for row in range(side):
        band = np.full((SCENE, size, 3), 110, np.uint8)
        band[:, : side * SCENE] = np.hstack([images[(row * side + i) % len(images)] for i in range(side)])
        yield band
    if size % SCENE:
        yield np.full((size % SCENE, size, 3), 110, np.uint8)


def write_png(path: Path, size: int, images: list[Pixels]) -> None:
    """Band by band."""
    pack = zlib.compressobj(1)
    with path.open("wb") as file:

        def chunk(kind: bytes, data: bytes) -> None:
            file.write(struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)))

        file.write(b"\x89PNG\r\n\x1a\n")
        chunk(b"IHDR", struct.pack(">IIBBBBB", size, size, 8, 2, 0, 0, 0))
        for band in bands(size, images):
            rows = np.zeros((len(band), 1 + size * 3), np.uint8)  # filter 0, then the pixels
            rows[:, 1:] = band[..., ::-1].reshape(len(band), -1)
            chunk(b"IDAT", pack.compress(rows.tobytes()))
        chunk(b"IDAT", pack.flush())
        chunk(b"IEND", b"")


def write_tiff(path: Path, size: int, images: list[Pixels]) -> None:
    """Tiles as large as scenes, deflated, band by band."""
    starts, lengths = [], []
    with path.open("wb") as file:
        file.write(b"\0" * 8)
        for band in bands(size, images):
            band = np.pad(band, ((0, SCENE - len(band)), (0, -size % SCENE), (0, 0)), mode="edge")
            for x in range(0, size, SCENE):
                raw = zlib.compress(band[:, x : x + SCENE, ::-1].tobytes(), 1)
                starts.append(file.tell())
                lengths.append(len(raw))
                file.write(raw + b"\0" * (len(raw) % 2))
        tags = {256: (4, [size]), 257: (4, [size]), 258: (3, [8] * 3), 259: (3, [8]), 262: (3, [2]), 277: (3, [3])}
        tags |= {284: (3, [1]), 322: (4, [SCENE]), 323: (4, [SCENE]), 324: (4, starts), 325: (4, lengths)}
        entries = b""
        for tag, (kind, values) in tags.items():
            raw = struct.pack(f"<{len(values)}{'H' if kind == 3 else 'I'}", *values)
            if len(raw) > 4:
                at = file.tell()
                file.write(raw + b"\0" * (len(raw) % 2))
                raw = struct.pack("<I", at)
            entries += struct.pack("<HHI", tag, kind, len(values)) + raw.ljust(4, b"\0")
        at = file.tell()
        file.write(struct.pack("<H", len(tags)) + entries + b"\0" * 4)
        file.seek(0)
        file.write(b"II*\0" + struct.pack("<I", at))


# Scores


def found_in(out: Path) -> Found:
    """Quads, scores and labels of each image of a predictions.json."""
    found = []
    for image in json.loads((out / "predictions.json").read_text()):
        objects = image["objects"]
        quads = np.array([one["quad"] for one in objects]).reshape(-1, 8)
        found.append((quads, np.array([o["score"] for o in objects]), np.array([o["label"] for o in objects], int)))
    return found


def objects_of(truth: InstanceTable, scene: int) -> tuple[Any, ...]:
    """Quads, labels and difficulty of the objects of a scene."""
    here = truth.image == truth.images.index(f"val_{scene:04d}")
    names = [CLASSES.index(name) for name in truth.classes]
    return truth.quads[here], np.array(names, int)[truth.label[here]], truth.difficult[here]


def at_cells(parts: list[tuple[Any, ...]], size: int) -> Iterator[tuple[Any, ...]]:
    """The objects of scenes, where they lie on the mosaic."""
    side = size // SCENE
    for k, (quads, labels, difficult) in enumerate(parts):
        yield quads + np.tile([k % side * SCENE, k // side * SCENE], 4), labels, difficult


def score(found: Found, truth: list[Any]) -> float:
    """The mAP at IoU 0.5."""
    names = [f"image{i}" for i in range(len(truth))]
    quads, scores, labels = (np.concatenate(column) for column in zip(*found, strict=True))
    counts = [len(one[0]) for one in found]
    index = np.repeat(np.arange(len(names), dtype=np.int32), counts)
    detections = InstanceTable(names, list(CLASSES), quads, "quad", index, labels, scores)
    quads, labels, difficult = (np.concatenate(column) for column in zip(*truth, strict=True))
    index = np.repeat(np.arange(len(names), dtype=np.int32), [len(one[0]) for one in truth])
    objects = InstanceTable(names, list(CLASSES), quads, "quad", index, labels, difficult=difficult)
    return evaluate_boxes(objects, detections, get_protocol("voc12"), iou=[0.5], classes=CLASSES).map


def seams(found: Found) -> str:
    """Copies of one object, and pieces of one, in a larger and surer detection of its class; at two thresholds."""
    texts = []
    for least in (SCORE, SHOWN):
        total = copies = pieces = 0
        for quads, scores, labels in found:
            total += int((scores > least).sum())
            for label in np.unique(labels):
                chosen = (scores > least) & (labels == label)
                boxes, sure = quad_to_rbox(quads[chosen]), scores[chosen]
                for start in range(0, len(boxes), 500):
                    part = boxes[start : start + 500]
                    iou, share = box_iou(part, boxes), box_iou(part, boxes, "iof")
                    rows = np.arange(len(part))
                    iou[rows, start + rows] = share[rows, start + rows] = 0
                    copies += int((iou > NMS_IOU + 1e-6).sum())
                    less = (area(part)[:, None] < area(boxes)) & (sure[start + rows, None] < sure)
                    pieces += int(((share > PIECE) & less).sum())
        texts.append(f"score > {least}: {total:,} detections, {copies // 2:,} copies, {pieces:,} pieces")
    return "; ".join(texts)


CLASSES = ("ship", "plane", "vehicle", "tank")

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--size", type=int, default=20_000, help="of the mosaic, in pixels")
    parser.add_argument("--window", type=int, default=SCENE, help="of rotx predict, in pixels")
    arguments = parser.parse_args()
    mosaic(arguments.size, arguments.window)
