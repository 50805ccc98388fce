"""Scores: equal to the DOTA devkit, MMRotate and pycocotools where they are right, and to the plain rules."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace

import numpy as np
import pytest

from conftest import GOLDENS
from reference import voc07, voc12, voc_curve
from rotx import geometry
from rotx.evaluation import PROTOCOLS, Evaluation, evaluate, evaluate_boxes, get_protocol
from rotx.evaluation.explain import explain
from rotx.evaluation.report import verdicts
from rotx.records import InstanceTable


def annotations(boxes: np.ndarray, image: list, label: list, difficult: list, classes: int = 1) -> InstanceTable:
    quads = geometry.rbox_to_quad(boxes) if np.shape(boxes)[1] == 5 else np.asarray(boxes, dtype=float)
    return InstanceTable(
        images=[f"P{i}" for i in range(max(image, default=-1) + 1)],
        classes=[f"c{i}" for i in range(classes)],
        boxes=quads,
        kind="quad",
        image=np.array(image, dtype=np.int32),
        label=np.array(label, dtype=np.int32),
        difficult=np.array(difficult, dtype=np.uint8),
    )


def detections(boxes: np.ndarray, image: list, label: list, scores: list, classes: int = 1) -> InstanceTable:
    quads = geometry.rbox_to_quad(boxes) if np.shape(boxes)[1] == 5 else np.asarray(boxes, dtype=float)
    return InstanceTable(
        images=[f"P{i}" for i in range(max(image, default=-1) + 1)],
        classes=[f"c{i}" for i in range(classes)],
        boxes=quads,
        kind="quad",
        scores=np.array(scores, dtype=float),
        image=np.array(image, dtype=np.int32),
        label=np.array(label, dtype=np.int32),
    )


def random_set(
    seed: int, images: int = 8, classes: int = 3, horizontal: bool = False
) -> tuple[InstanceTable, InstanceTable]:
    """A crowded scene: objects near each other, two to four detections about each, and false ones."""
    rng = np.random.default_rng(seed)
    n = images * 12
    boxes = np.column_stack([rng.uniform(0, 120, (n, 2)), rng.uniform(8, 40, (n, 2)), rng.uniform(-2, 2, n)])
    image, label = rng.integers(images, size=n), rng.integers(classes, size=n)
    source = np.repeat(np.arange(n), rng.integers(0, 4, n))
    found = boxes[source] + rng.normal(0, 1, (len(source), 5)) * [3, 3, 3, 3, 0.1]
    found[:, 2:4] = np.maximum(found[:, 2:4], 2)
    if horizontal:
        boxes[:, 4] = found[:, 4] = 0
    scores = rng.permutation(len(source)) / len(source)
    truth = annotations(boxes, image.tolist(), label.tolist(), (rng.random(n) < 0.2).tolist(), classes)
    return truth, detections(found, image[source].tolist(), label[source].tolist(), scores.tolist(), classes)


def score(truth: InstanceTable, results: InstanceTable, protocol: str = "voc07", **changes: object) -> Evaluation:
    return evaluate_boxes(truth, results, replace(get_protocol(protocol), **changes))


SETS = ("small", "ugly")


@pytest.mark.parametrize("name", SETS)
@pytest.mark.parametrize(
    ("key", "options"),
    [("ap_voc07_iou50", {}), ("ap_area_iou50", {"protocol": "voc12"}), ("ap_voc07_iou75", {"iou": [0.75]})],
)
def test_devkit_parity(name: str, key: str, options: dict) -> None:
    folder = GOLDENS / "devkit" / name
    want = json.loads((folder / "devkit_ap.json").read_text())
    for jobs in (1, 3):
        got = evaluate(
            folder / "labelTxt.zip", folder / "Task1.zip", images=folder / "images.txt", jobs=jobs, **options
        )
        record = got.to_dict()
        assert abs(record["map"] - want.pop("mean", {key: record["map"]})[key]) < 1e-9
        for c, values in want.items():
            assert abs(record["classes"][c]["ap"] - values[key]) < 1e-9, c
            assert record["classes"][c]["dets"] == values["dets"], c
            if options.get("iou") is None:
                assert abs(record["classes"][c]["recall"] - values["recall"]) < 1e-12, c


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("threshold", [0.3, 0.5, 0.75])
def test_rules_of_the_devkit(seed: int, threshold: float) -> None:
    truth, results = random_set(seed)
    got = score(truth, results, iou=(threshold,))
    area = score(truth, results, "voc12", iou=(threshold,))
    for c in range(3):
        objects = [(truth.image[i], truth.quads[i], truth.difficult[i]) for i in np.flatnonzero(truth.label == c)]
        found = [(results.image[i], results.quads[i], results.scores[i]) for i in np.flatnonzero(results.label == c)]
        recall, precision, count = voc_curve(objects, found, threshold)
        assert got.gts[c] == count
        assert got.ap[0, c] == pytest.approx(voc07(recall, precision), abs=1e-12)
        assert area.ap[0, c] == pytest.approx(voc12(recall, precision), abs=1e-12)
        assert got.recall[0, c] == pytest.approx(recall[-1], abs=1e-12)


def test_iou_of_exactly_half_is_no_match() -> None:
    square, half = [0, 0, 8, 0, 8, 8, 0, 8], [0, 0, 8, 0, 8, 4, 0, 4]
    truth, results = annotations([square], [0], [0], [0]), detections([half], [0], [0], [0.9])
    assert score(truth, results).map == 0
    assert score(truth, results, strict=False).map == pytest.approx(1)
    assert score(truth, results, rounding="exact").map == 0
    # Far from the origin the devkit's own rounding decides; the exact kernel does not mind.
    moved = annotations([np.add(square, 1e4)], [0], [0], [0]), detections([np.add(half, 1e4)], [0], [0], [0.9])
    assert score(*moved, rounding="exact").map == 0


def test_eleven_points_are_the_doubles_of_arange() -> None:
    boxes = [[20.0 * i, 5, 10, 10, 0] for i in range(10)]
    truth = annotations(boxes, [0] * 10, [0] * 10, [0] * 10)
    assert score(truth, detections(boxes[:3], [0] * 3, [0] * 3, [0.9, 0.8, 0.7])).map == pytest.approx(3 / 11)


def test_no_second_choice_and_difficult_objects_compete() -> None:
    a, b = [0, 0, 10, 10, 0], [3, 0, 10, 10, 0]
    truth = annotations([a, b], [0, 0], [0, 0], [0, 0])
    twice = detections([a, [0.5, 0, 10, 10, 0]], [0, 0], [0, 0], [0.9, 0.8])
    assert score(truth, twice).recall[0, 0] == 0.5
    assert score(truth, twice, second_choice=True).recall[0, 0] == 1
    hard = annotations([a, b], [0, 0], [0, 0], [1, 0])
    assert score(hard, twice).gts.tolist() == [1]
    assert score(hard, twice).matches.ignored.tolist() == [1, 1]
    assert score(hard, twice, difficult="count").gts.tolist() == [2]


def test_self_crossing_and_degenerate_quads_do_not_break_it() -> None:
    bowtie, point, line = [0, 0, 9, 9, 9, 0, 0, 9], [4] * 8, [0, 0, 9, 9, 0, 0, 9, 9]
    square = [0, 0, 9, 0, 9, 9, 0, 9]
    quads = [bowtie, point, line, square]
    truth = annotations(quads, [0] * 4, [0] * 4, [0] * 4)
    for name in PROTOCOLS:
        result = score(truth, detections(quads, [0] * 4, [0] * 4, [0.9, 0.8, 0.7, 0.6]), name, classes=("c0",))
        assert 0 <= result.map <= 1


@pytest.mark.parametrize("name", PROTOCOLS)
def test_empty_sets(name: str) -> None:
    none = np.zeros((0, 5))
    truth, results = annotations(none, [], [], []), detections(none, [], [], [])
    some, found = random_set(0)
    for t, r in ((truth, results), (truth, found), (some, results)):
        result = score(t, r, name)
        assert result.map == 0 and np.isfinite(result.ap).all()
        assert result.to_dict() and list(verdicts(result))


def test_classes_without_objects() -> None:
    truth, results = random_set(1)
    truth.classes.append("empty")
    full = score(truth, results)
    assert full.classes == ("c0", "c1", "c2", "empty") and full.ap[0, 3] == 0
    assert full.map == pytest.approx(full.ap[0, :3].sum() / 4)
    assert score(truth, results, empty_class="skip").map == pytest.approx(full.ap[0, :3].mean())


def test_dota_versions_differ_in_classes_and_difficult() -> None:
    counts = [
        (len(get_protocol(n).classes or ()), get_protocol(n).difficult) for n in ("dota-v1.0", "dota-v1.5", "dota-v2.0")
    ]
    assert counts == [(15, "ignore"), (16, "count"), (18, "count")]


def test_task_2_counts_pixels_and_truncates_objects() -> None:
    # Objects become whole pixels (0, 0)-(9, 9), 10 wide; 10 x 5 detected of 10 x 10 is an IoU of exactly 0.5.
    truth = annotations([[0.9, 0.2, 9.7, 0.2, 9.7, 9.9, 0.9, 9.9]], [0], [0], [0])
    half = detections([[0, 0, 9, 0, 9, 4, 0, 4]], [0], [0], [0.9])
    more = detections([[0, 0, 9, 0, 9, 4.1, 0, 4.1]], [0], [0], [0.9])
    protocol = get_protocol("voc07")
    assert evaluate_boxes(truth, half, protocol, task=2).map == 0
    assert evaluate_boxes(truth, more, protocol, task=2).map == pytest.approx(1)
    assert evaluate_boxes(truth, more, replace(protocol, pixels=False), task=2).map == 0


@pytest.mark.parametrize("seed", range(4))
def test_coco_equals_pycocotools(seed: int) -> None:
    """On boxes of angle 0, where COCO's IoU is the polygons' IoU."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, results = random_set(seed, images=6, horizontal=True)
    truth = replace(truth, difficult=np.zeros_like(truth.difficult))

    def boxes(quads: np.ndarray) -> list:
        x0, y0, x1, y1 = quads[:, 0], quads[:, 1], quads[:, 4], quads[:, 5]
        return np.stack([x0, y0, x1 - x0, y1 - y0], axis=1).tolist()

    def entries(data: InstanceTable | InstanceTable) -> list[dict]:
        columns = zip(boxes(data.quads), data.image.tolist(), data.label.tolist(), strict=True)
        return [
            {"bbox": b, "image_id": i, "category_id": c + 1, "area": b[2] * b[3], "iscrowd": 0} for b, i, c in columns
        ]

    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "images": [{"id": i} for i in range(6)],
            "categories": [{"id": c + 1} for c in range(3)],
            "annotations": [{**e, "id": i + 1} for i, e in enumerate(entries(truth))],
        }
        coco.createIndex()
        found = [{**e, "score": s} for e, s in zip(entries(results), results.scores.tolist(), strict=True)]
        oracle = COCOeval(coco, coco.loadRes(found), "bbox")
        oracle.evaluate()
        oracle.accumulate()
        oracle.summarize()
    got = score(truth, results, "coco")
    want = oracle.stats
    assert got.map == pytest.approx(want[0], abs=1e-9)
    assert got.maps[0] == pytest.approx(want[1], abs=1e-9)
    assert got.maps[5] == pytest.approx(want[2], abs=1e-9)
    for i, name in enumerate(("small", "medium")):
        assert got.sizes[name].map == pytest.approx(want[3 + i], abs=1e-9)
    assert got.average_recall == pytest.approx(want[8], abs=1e-9)
    assert evaluate_boxes(truth, results, get_protocol("coco"), task=2).map == pytest.approx(want[0], abs=1e-9)


def test_coco_counts_a_hundred_detections_an_image_and_class() -> None:
    boxes = [[20.0 * i, 0, 10, 10, 0] for i in range(120)]
    truth = annotations(boxes, [0] * 120, [0] * 120, [0] * 120)
    found = detections(boxes, [0] * 120, [0] * 120, np.linspace(1, 0.1, 120).tolist())
    assert score(truth, found, "coco").recall[0, 0] == pytest.approx(100 / 120)


def test_mmrotate_golden() -> None:
    """MMRotate's eval_rbbox_map; its numbers are float32. No image of this set has ignored objects alone,
    where MMRotate forgets to ignore them."""
    arrays = np.load(GOLDENS / "ops/eval_rbbox_map.npz")
    golden = json.loads((GOLDENS / "ops/eval_rbbox_map.json").read_text())
    det, gt = arrays["det"], np.concatenate([arrays["gt"], arrays["ignore"]])
    ignored = [0] * len(arrays["gt"]) + [1] * len(arrays["ignore"])
    truth = annotations(gt[:, 2:7], gt[:, 0].astype(int).tolist(), gt[:, 1].astype(int).tolist(), ignored, 6)
    found = detections(
        det[:, 2:7], det[:, 0].astype(int).tolist(), det[:, 1].astype(int).tolist(), det[:, 7].tolist(), 6
    )
    for name, want in golden["results"].items():
        _, average, threshold = name.split("_")
        got = score(truth, found, "mmrotate", difficult="ignore", average=average, iou=(float(threshold),))
        assert got.map == pytest.approx(want["mAP"], abs=1e-6), name
        for c, values in enumerate(want["classes"]):
            assert got.ap[0, c] == pytest.approx(values["ap"], abs=1e-6)
            assert (got.gts[c], got.dets[c]) == (values["num_gts"], values["num_dets"])
            assert got.recall[0, c] == pytest.approx(values["last_recall"], abs=1e-9)


def test_all_thresholds_in_one_pass() -> None:
    truth, results = random_set(3)
    for name in ("voc07", "coco"):
        many = score(truth, results, name, iou=(0.5, 0.6, 0.75))
        for t, threshold in enumerate((0.5, 0.6, 0.75)):
            assert (score(truth, results, name, iou=(threshold,)).ap[0] == many.ap[t]).all()
        records = many.to_dict()
        assert [r["iou"] for r in records][-3:] == [0.5, 0.6, 0.75]


def test_bad_options() -> None:
    truth, results = random_set(0)
    for options in ({"iou": []}, {"iou": [0.0]}, {"iou": [1.5]}, {"iou": [0.5] * 33}, {"task": 3}, {"jobs": 0}):
        with pytest.raises(ValueError, match=next(iter(options))):
            evaluate_boxes(truth, results, get_protocol("voc07"), **options)
    with pytest.raises(ValueError, match="did you mean 'mmrotate'"):
        get_protocol("mmrot")


def test_explain_adds_up() -> None:
    truth, results = random_set(5)
    for target in ("mmrotate", "coco", "dota-v1.5"):
        base = score(truth, results, "voc07")
        steps = explain(base, get_protocol(target))
        whole = score(truth, results, target, classes=get_protocol(target).classes)
        assert sum(s.in_turn for s in steps) == pytest.approx(whole.map - base.map, abs=1e-12)
        assert steps[-1].map == pytest.approx(whole.map, abs=1e-12)
    assert explain(base, base.protocol) == []


def test_interval() -> None:
    truth, results = random_set(7, images=30)
    whole = score(truth, results)
    low, high = whole.interval()
    assert 0 < low < whole.map < high < 1
    assert whole.interval() == (low, high)
    assert np.subtract(*whole.interval(samples=50)[::-1]) > 0
    # A weight of 2 for every image changes nothing.
    weights = np.full((1, 30), 2, dtype=np.uint32)
    problem = whole.problem
    twice = whole.matches.bootstrap(problem.truth, problem.ignore, problem.detections[1], weights, 0, "voc07", 1)
    assert twice[0] == pytest.approx(whole.ap[0], abs=1e-12)


def test_sizes_split_the_objects() -> None:
    truth, results = random_set(9)
    whole = score(truth, results)
    assert sum(size.gts.sum() for size in whole.sizes.values()) == whole.gts.sum()


def test_verdicts_name_every_detection() -> None:
    import csv

    truth, results = random_set(11)
    result = score(truth, results)
    rows = list(csv.DictReader("".join(verdicts(result)).splitlines()))
    assert len(rows) == len(results.scores)
    assert sum(row["verdict"] == "tp" for row in rows) == (result.matches.hit & 1).sum()
    for row in rows:
        if row["verdict"] != "tp":
            continue
        image = int(row["image"][1:])
        gt = np.flatnonzero(truth.image == image)[int(row["gt"]) - 1]
        quad = np.array([[float(row[f"{a}{i}"]) for i in range(1, 5) for a in "xy"]])
        assert truth.classes[truth.label[gt]] == row["gt_class"] == row["class"]
        assert geometry.box_iou(truth.quads[[gt]], quad)[0, 0] == pytest.approx(float(row["iou"]), abs=1e-9)
        assert float(row["iou"]) > 0.5
