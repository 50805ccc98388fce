"""Speed of rotx against named baselines, measured in one run: `make bench`.

Every line is the best of several runs, and what is claimed is the ratio to the baseline of the same run.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import numpy as np
from convert import convert
from data_pipeline import data_pipeline
from dota_like import make_boxes, scene_of
from measure import DATA, best, process, report
from tiles import tiles

from rotx import geometry
from rotx.annotations.classes import DOTA_V1_0
from rotx.evaluation import DetectionMetric, evaluate_boxes, get_protocol
from rotx.records import InstanceTable

HERE = Path(__file__).parent


def files() -> None:
    """The whole process `rotx-eval score` on a set like DOTA-v1.0 val, and on ten times the detections."""
    seconds = {}
    for name, detections in (("val", 339_320), ("val-ten-times", 3_393_200)):
        folder = DATA / name
        if not (folder / "Task1").is_dir():
            # In a process of its own: a child's greatest memory counts what its parent held when it started.
            process(sys.executable, HERE / "dota_like.py", folder, "--detections", detections)
        score = [Path(sys.executable).with_name("rotx-eval"), "score", folder / "labelTxt", folder / "Task1"]
        runs = [process(*score) for _ in range(5)]
        seconds[name] = min(t for t, _ in runs)
        if name == "val":
            loop = min(process(sys.executable, HERE / "float_loop.py", folder)[0] for _ in range(3))
            report("score 339,320 detections from files", seconds[name], loop, "a loop of float()", "at most 1.25")
            print(f"{'  greatest memory':<44} {max(m for _, m in runs):9.0f} MB {'':>21}(under 300 MB)")
    report("score ten times the detections", seconds["val-ten-times"], seconds["val"], "the first", "at most 11")


def memory() -> None:
    """500 images x 200 detections x 15 classes that are in memory."""
    truth, found = make_boxes(500, 15_000, 100_000)
    names = [f"P{i}" for i in range(500)]
    label, image = truth["label"].astype(np.int32), truth["image"].astype(np.int32)
    quads, difficult = geometry.rbox_to_quad(truth["boxes"]), truth["difficult"].astype(np.uint8)
    annotations = InstanceTable(names, list(DOTA_V1_0), quads, "quad", image, label, difficult=difficult)
    quads = geometry.rbox_to_quad(found["boxes"])
    image, label = found["image"].astype(np.int32), found["label"].astype(np.int32)
    results = InstanceTable(names, list(DOTA_V1_0), quads, "quad", image, label, found["scores"])
    protocol = get_protocol("dota-v1.0")
    budget = 0.08
    seconds = best(lambda: evaluate_boxes(annotations, results, protocol))
    report("score 500 x 200 x 15 in memory", seconds, budget, "80 ms", "below 1")

    rows = [np.flatnonzero(image == i) for i in range(500)]
    gts = [np.flatnonzero(annotations.image == i) for i in range(500)]

    def metric() -> object:
        metric = DetectionMetric(DOTA_V1_0)
        for i in range(500):
            r, g = rows[i], gts[i]
            gt = annotations.quads[g], annotations.label[g], annotations.difficult[g]
            metric.update(i, results.quads[r], results.scores[r], results.label[r], *gt)
        return metric.compute()

    report("  the same through DetectionMetric", best(metric), budget, "80 ms", "below 1")


def scene(rng: np.random.Generator, count: int, side: float) -> np.ndarray:
    """Boxes spread evenly over a square image."""
    sizes = rng.uniform(10, 100, (count, 2))
    return np.column_stack([rng.uniform(0, side, (count, 2)), sizes, rng.uniform(-2, 2, count)])


def degrees(boxes: np.ndarray) -> np.ndarray:
    """The same boxes as powerboxes and torchvision write them."""
    return np.column_stack([boxes[:, :4], np.rad2deg(boxes[:, 4])])


def iou() -> None:
    """All pairs of 2,000 x 2,000 boxes."""
    import powerboxes
    import torch
    import torchvision

    for name, side in (("dense", 100), ("sparse", 8000)):
        rng = np.random.default_rng(0)
        a, b = scene(rng, 2000, side), scene(rng, 2000, side)
        da, db = degrees(a), degrees(b)
        for jobs, theirs in ((1, powerboxes.rotated_iou_distance), (None, powerboxes.parallel_rotated_iou_distance)):
            threads = jobs or os.cpu_count()
            ours = best(lambda jobs=jobs, a=a, b=b: geometry.box_iou(a, b, jobs=jobs), 15)
            baseline = best(lambda theirs=theirs, da=da, db=db: theirs(da, db), 5)
            report(f"IoU 2,000 x 2,000 {name}, {threads} threads", ours, baseline, "powerboxes", "at most 1")
        if name == "sparse":
            written = best(lambda: np.full((2000, 2000), 1.0), 15)
            report("IoU 2,000 x 2,000 sparse", ours, written, "writing the result", "at most 1.5")
            ta, tb = torch.from_numpy(da).float(), torch.from_numpy(db).float()
            theirs = best(lambda ta=ta, tb=tb: torchvision.ops.box_iou(ta, tb, fmt="cxcywhr"), 3)
            report("IoU 2,000 x 2,000 sparse", ours, theirs, "torchvision", "below 1")


def nms() -> None:
    """NMS of 20,000 boxes, and how it grows."""
    import powerboxes

    for name in ("sparse", "DOTA density"):
        seconds = {}
        for count in (20_000, 200_000):
            rng = np.random.default_rng(1)
            if name == "sparse":
                boxes, scores = scene(rng, count, 8000 * np.sqrt(count / 20_000)), rng.random(count)
            else:
                boxes, scores, _ = scene_of(rng, count)
            seconds[count] = best(lambda boxes=boxes, scores=scores: geometry.nms(boxes, scores, 0.1))
            if count == 20_000:
                theirs_boxes = degrees(boxes)
                try:
                    theirs = best(lambda b=theirs_boxes, s=scores: powerboxes.rtree_rotated_nms(b, s, 0.1, 0.0), 5)
                    report(f"NMS of 20,000, {name}", seconds[count], theirs, "powerboxes rtree", "below 1")
                except BaseException as error:  # its panics are no Exception
                    if isinstance(error, KeyboardInterrupt):
                        raise
                    print(f"NMS of 20,000, {name:<28} {seconds[count] * 1e3:9.2f} ms    powerboxes panicked: {error}")
        report(f"NMS of 200,000, {name}", seconds[200_000], seconds[20_000], "20,000", "at most 14 at DOTA density")


def roi_align() -> None:
    """Features of 512 boxes in a map of 256 channels, forward alone and with backward, on one thread."""
    import torch
    import torchvision

    from rotx.ops import roi_align_rotated

    rng = np.random.default_rng(0)
    centres, sizes = rng.uniform(0, 256, (512, 2)), rng.uniform(8, 100, (512, 2))
    image = np.zeros((512, 1))
    hboxes = torch.from_numpy(np.hstack([image, centres - sizes / 2, centres + sizes / 2])).float()
    angles = {"at angle 0": np.zeros((512, 1)), "at any angle": rng.uniform(-2, 2, (512, 1))}
    features = torch.from_numpy(rng.normal(size=(1, 256, 64, 64))).float()
    leaf = features.clone().requires_grad_()
    grad = torch.ones(512, 256, 7, 7)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    theirs = best(lambda: torchvision.ops.roi_align(features, hboxes, 7, 0.25, 2, True))
    theirs_both = best(lambda: torchvision.ops.roi_align(leaf, hboxes, 7, 0.25, 2, True).backward(grad), 3)
    for name, angle in angles.items():
        rois = torch.from_numpy(np.hstack([image, centres, sizes, angle])).float()
        ours = best(lambda rois=rois: roi_align_rotated(features, rois, 7, 0.25, 2))
        report(f"RoIAlign of 512, {name}", ours, theirs, "torchvision at angle 0", "below 1")
        ours = best(lambda rois=rois: roi_align_rotated(leaf, rois, 7, 0.25, 2).backward(grad))
        report("  with backward", ours, theirs_both, "torchvision at angle 0", "below 1")
    torch.set_num_threads(threads)


def steps() -> None:
    """Where the time of training steps and predictions goes."""
    from training import training  # torch here would count in the memory of the processes above

    training()


if __name__ == "__main__":
    print(f"{os.cpu_count()} cores; best of several runs; rotx, baseline, ratio")
    for part in (files, memory, iou, nms, tiles, convert, roi_align, data_pipeline, steps):
        part()
