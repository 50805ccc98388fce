"""The metrics that configs name: which protocol each key means, and MMRotate's own numbers."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from conftest import GOLDENS
from rotx import geometry, registry
from rotx.annotations.classes import DOTA_V1_0, DOTA_V1_5, DOTA_V2_0
from rotx.compat import load_config
from rotx.evaluation.metrics import DOTAMetric, RotatedCocoMetric, Several, build_metric, merge_iou
from rotx.evaluation.protocols import PROTOCOLS
from rotx.records import InstanceTable, Masks

CONFIGS = sorted((Path(__file__).parents[1] / "configs/_base_/datasets").glob("*.py"))
SHIP = np.array([50.0, 50, 40, 20, 0.3])


def moved(x: float, y: float) -> NDArray[np.float64]:
    return np.add(SHIP, [x, y, 0, 0, 0])


def problem(
    objects: list[Any],
    difficult: list[int],
    found: list[Any],
    scores: list[float],
    classes: tuple[str, ...] = ("ship",),
) -> tuple[InstanceTable, InstanceTable]:
    """Objects and detections of the first class, on one image."""
    truth, boxes = (geometry.rbox_to_quad(np.reshape(x, (-1, 5))) for x in (objects, found))
    n, m = np.zeros(len(truth), np.int32), np.zeros(len(boxes), np.int32)
    return (
        InstanceTable(["P1"], list(classes), truth, "quad", n, n, difficult=np.array(difficult, np.uint8)),
        InstanceTable(["P1"], list(classes), boxes, "quad", m, m, np.array(scores)),
    )


def write_coco(path: Path, quad: NDArray[np.float64]) -> Path:
    """A ship on the image P1 as COCO's json."""
    corners = quad.reshape(4, 2)
    low, sides = corners.min(axis=0), np.ptp(corners, axis=0)
    ship = {"bbox": [*low.tolist(), *sides.tolist()], "segmentation": [quad.tolist()], "area": 800, "iscrowd": 0}
    content = {
        "images": [{"id": 1, "file_name": "P1.png", "width": 100, "height": 100}],
        "categories": [{"id": 1, "name": "ship"}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, **ship}],
    }
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("file", CONFIGS, ids=lambda file: file.stem)
def test_every_config_names_a_metric(file: Path, tmp_path: Path) -> None:
    settings = load_config(file)
    truth, found = problem([SHIP], [0], [SHIP], [0.9])
    found.masks, found.sizes = Masks([[found.quads[0]]]), [(100, 100)]
    for key in ("val_evaluator", "test_evaluator"):
        evaluator = settings[key]
        if "ann_file" in evaluator:
            evaluator["ann_file"] = str(write_coco(tmp_path / "all.json", truth.quads[0]))
        metric = build_metric(evaluator, key)
        evaluation = metric.evaluate(truth, found)
        assert next(iter(metric.headline(evaluation).values())) == pytest.approx(1)


def test_numbers_by_hand() -> None:
    """One of two ships is found, after a false alarm: precision 1/2 at recall 1/2.

    11 points: (6 · 1/2) / 11; area: 1/2 · 1/2; COCO: (51 · 1/2) / 101 at the thresholds that the box passes.
    """
    far = moved(100, 0)
    wide = SHIP * [1, 1, 1, 1.6, 1]  # IoU 1 / 1.6 = 0.625
    data = problem([SHIP, far], [0, 0], [moved(100, 200), wide], [0.9, 0.8])
    for metric, numbers in (
        (DOTAMetric(), {"mAP": 3 / 11, "AP50": 3 / 11}),
        (DOTAMetric(iou_thrs=[0.5, 0.75], prefix="dota"), {"dota/mAP": 1.5 / 11, "dota/AP50": 3 / 11, "dota/AP75": 0}),
        (DOTAMetric(eval_mode="area", iou_thrs=0.55), {"mAP": 1 / 4, "AP55": 1 / 4}),
        (DOTAMetric(protocol="voc12"), {"mAP": 1 / 4, "AP50": 1 / 4}),
        (DOTAMetric(protocol="voc12", eval_mode="11points"), {"mAP": 3 / 11, "AP50": 3 / 11}),
        (RotatedCocoMetric(iou_thrs=0.6), {"bbox_mAP": 51 / 202}),
        (RotatedCocoMetric(), {"bbox_mAP": 0.3 * 51 / 202, "bbox_mAP_50": 51 / 202, "bbox_mAP_75": 0}),
        (RotatedCocoMetric(iou_thrs=[0.5, 0.75], proposal_nums=(1, 10, 100)), {"bbox_mAP": 0, "bbox_mAP_50": 0}),
    ):
        headline = metric.headline(metric.evaluate(*data))
        assert list(headline)[: len(numbers)] == list(numbers)
        assert {key: headline[key] for key in numbers} == pytest.approx(numbers, abs=1e-9)


def test_sizes_of_coco() -> None:
    """The ship of 40 x 20 pixels is small, that of 80 x 40 is medium."""
    large = SHIP * [4, 1, 2, 2, 1]
    metric = RotatedCocoMetric()
    headline = metric.headline(metric.evaluate(*problem([SHIP, large], [0, 0], [large], [0.9])))
    assert (headline["bbox_mAP_s"], headline["bbox_mAP_m"]) == (0, pytest.approx(1))
    assert math.isnan(headline["bbox_mAP_l"]), "no object is large"


def test_difficult_objects_and_empty_classes() -> None:
    """dota-v1.0 ignores the one and counts the others 0, MMRotate the other way round."""
    far = moved(100, 0)
    data = problem([SHIP, far], [0, 1], [SHIP], [0.9], ("ship", "plane"))
    assert DOTAMetric().evaluate(*data).map == pytest.approx(1 / 2)
    assert DOTAMetric(protocol="mmrotate").evaluate(*data).map == pytest.approx(6 / 11)


def test_the_version_of_dota_follows_the_classes() -> None:
    for classes, name in ((DOTA_V1_0, "dota-v1.0"), (DOTA_V1_5, "dota-v1.5"), (DOTA_V2_0, "dota-v2.0")):
        assert DOTAMetric().rules(classes) == PROTOCOLS[name]
    assert DOTAMetric().rules(("ship",)) == replace(PROTOCOLS["dota-v1.0"], classes=("ship",))
    assert DOTAMetric(protocol="coco").rules(DOTA_V1_5).name == "coco"


@pytest.mark.parametrize("mode", ["11points", "area"])
def test_mmrotates_numbers(mode: str) -> None:
    """MMRotate's eval_rbbox_map, which its DOTAMetric calls; it is told to leave the ignored objects out."""
    arrays = np.load(GOLDENS / "ops/eval_rbbox_map.npz")
    golden = json.loads((GOLDENS / "ops/eval_rbbox_map.json").read_text())["results"]
    det, gt, ignore = arrays["det"], arrays["gt"], arrays["ignore"]
    classes, images = [str(i) for i in range(6)], [str(i) for i in range(50)]
    truth = np.concatenate([gt, ignore])
    difficult = np.repeat(np.array([0, 1], np.uint8), [len(gt), len(ignore)])
    quads = geometry.rbox_to_quad(truth[:, 2:7]), geometry.rbox_to_quad(det[:, 2:7])
    columns = [a[:, i].astype(np.int32) for a in (truth, det) for i in (0, 1)]
    annotations = InstanceTable(images, classes, quads[0], "quad", columns[0], columns[1], difficult=difficult)
    found = InstanceTable(images, classes, quads[1], "quad", columns[2], columns[3], det[:, 7].astype(np.float64))
    metric = DOTAMetric(protocol="mmrotate", eval_mode=mode, iou_thrs=[0.5, 0.75])
    # MMRotate has no key for it either: the data set's diff_thr decides which objects are ignored.
    metric.protocol = replace(PROTOCOLS["mmrotate"], difficult="ignore")
    headline = metric.headline(metric.evaluate(annotations, found))
    name = "voc07" if mode == "11points" else "area"
    for threshold in (0.5, 0.75):
        want = golden[f"rbox_{name}_{threshold}"]["mAP"]
        assert headline[f"AP{100 * threshold:g}"] == pytest.approx(want, abs=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"type": "DOTAMetric", "metric": "recall"}, r"test_evaluator\.metric: only 'mAP' or .* got 'recall'"),
        ({"type": "DOTAMetric", "iou_thr_s": 0.5}, "takes no 'iou_thr_s': did you mean 'iou_thrs'"),
        ({"type": "DOTAMetric", "iou_thrs": []}, "iou_thrs: need 1 to 32"),
        ({"type": "DOTAMetric", "iou_thrs": 50}, "iou_thrs: need 1 to 32"),
        ({"type": "DOTAMetric", "eval_mode": "07"}, "eval_mode: need '11points' or 'area'"),
        ({"type": "DOTAMetric", "protocol": "dota"}, "unknown protocol 'dota'"),
        ({"type": "DOTAMetric", "iou_thr": 1.5}, r"iou_thr: need a number in \[0, 1\]"),
        ({"type": "DOTAMetric", "format_only": True}, "format_only: needs outfile_prefix"),
        ({"type": "DOTAMetric", "predict_box_type": "qbox"}, "predict_box_type: only 'rbox' is supported"),
        ({"type": "DOTAMetric", "scale_ranges": [(0, 32)]}, "scale_ranges: leave it out"),
        ({"type": "RotatedCocoMetric", "metric": ["bbox", "segm"]}, "metric: only 'bbox' or .* is supported"),
        ({"type": "RotatedCocoMetric", "proposal_nums": ()}, "proposal_nums: need"),
        ({"type": "DOTAMetrics"}, "unknown type 'DOTAMetrics': did you mean 'DOTAMetric'"),
        ([{"type": "DOTAMetric"}, {"type": "DOTAMetric"}], "test_evaluator: several metrics have the same type"),
        ([{"type": "DOTAMetric"}, 3], "test_evaluator.1: need a metric, such as"),
        ([], "test_evaluator: need a metric"),
        (None, "test_evaluator: need a metric, such as"),
    ],
)  # fmt: skip
def test_wrong_keys(settings: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        build_metric(settings, "test_evaluator")
    assert "\n" not in str(caught.value)


def test_several_metrics() -> None:
    """As MMRotate's config of HRSC2016 has them: one of two ships is found, after a false alarm."""
    data = problem([SHIP, moved(100, 0)], [0, 0], [moved(100, 200), SHIP], [0.9, 0.8])
    settings = [
        {"type": "DOTAMetric", "eval_mode": mode, "prefix": prefix, "metric": "mAP"}
        for mode, prefix in (("11points", "dota_ap07"), ("area", "dota_ap12"))
    ]
    metric = build_metric(settings, "val_evaluator")
    evaluation = metric.evaluate(*data)
    assert evaluation.map == pytest.approx(3 / 11)
    numbers = {"dota_ap07/mAP": 3 / 11, "dota_ap07/AP50": 3 / 11, "dota_ap12/mAP": 1 / 4, "dota_ap12/AP50": 1 / 4}
    assert metric.headline(evaluation) == pytest.approx(numbers)
    writing = {
        "type": "DOTAMetric",
        "format_only": True,
        "merge_patches": True,
        "outfile_prefix": "out",
        "iou_thr": 0.2,
    }
    both = build_metric([writing, {"type": "RotatedCocoMetric", "backend_args": None}], "test_evaluator")
    assert isinstance(both, Several) and both.merge_patches and not both.format_only
    assert (both.iou_thr, both.outfile_prefix) == (0.2, "out")


def test_as_mmrotate_writes_them() -> None:
    metric = build_metric(
        [{"type": "mmrotate.DOTAMetric", "metric": ["mAP"], "format_only": True, "merge_patches": True, "iou_thr": 0.2,
              "outfile_prefix": "./work_dirs/dota/Task1", "collect_device": "cpu", "predict_box_type": "rbox"}],
        "test_evaluator",
    )  # fmt: skip
    assert isinstance(metric, DOTAMetric) and metric.merge_patches and metric.format_only
    assert (metric.iou_thr, metric.outfile_prefix) == (0.2, "./work_dirs/dota/Task1")
    assert registry.resolve("RotatedCocoMetric") is RotatedCocoMetric


def test_prediction_and_evaluation_merge_alike() -> None:
    dota, coco = {"type": "DOTAMetric"}, {"type": "CocoMetric"}
    assert merge_iou({"test_evaluator": dota}, 0.5) == 0.1
    assert merge_iou({"test_evaluator": [coco, {**dota, "iou_thr": 0.3}]}, 0.5) == 0.3
    assert merge_iou({"val_evaluator": coco}, 0.5) == 0.5
    assert merge_iou({}, None) == 0.1
