"""A detector on a dataset: what is found comes back in pixels of the files, however the images are shared out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from bright import bright_detector, picture
from rotx import geometry
from rotx.compat import build
from rotx.datasets.dota import DOTADataset
from rotx.datasets.loader import build_loader
from rotx.datasets.samplers import Draw
from rotx.datasets.tiled import TiledDataset
from rotx.evaluation.detect import detect, evaluate_detector, predict
from rotx.evaluation.metrics import DOTAMetric, RotatedCocoMetric
from rotx.inference import Predictor
from rotx.models import build_detector
from rotx.models.tta import views_of
from small import small_config

CLASSES = ("ship", "plane", "tank")
OPTIONS: dict[str, Any] = {"device": "cpu", "batch_size": 2, "num_workers": 0, "progress": False}
Make = Callable[..., DOTADataset]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """Five images of different sizes, the fourth without objects, and the dataset of them."""
    rng = np.random.default_rng(0)
    (tmp_path / "images").mkdir()
    (tmp_path / "labelTxt").mkdir()
    for i in range(5):
        size = 60 + 10 * i, 90 - 5 * i
        count = 0 if i == 3 else 2
        # One above the other.
        rboxes = np.column_stack(
            [np.full(count, 35), 15 + 32 * np.arange(count), np.full(count, 26), np.full(count, 12)]
        )
        rboxes = np.column_stack([rboxes, rng.uniform(-0.5, 0.5, count)])
        labels = rng.integers(0, 3, count)
        cv2.imwrite(str(tmp_path / f"images/P{i}.png"), picture(size, rboxes, labels))
        lines = [
            f"{' '.join(map(str, quad))} {CLASSES[label]} 0"
            for quad, label in zip(geometry.rbox_to_quad(rboxes), labels, strict=True)
        ]
        (tmp_path / f"labelTxt/P{i}.txt").write_text("\n".join(lines))

    def made(*steps: dict[str, Any], **more: Any) -> DOTADataset:
        pipeline = build([{"type": "LoadImageFromFile"}, *steps, {"type": "PackDetInputs"}])
        options = {"data_root": str(tmp_path), "ann_file": "labelTxt", "data_prefix": {"img_path": "images"}}
        return DOTADataset(**options, metainfo={"classes": CLASSES}, pipeline=pipeline, test_mode=True, **more)

    return made


def test_boxes_are_in_pixels_of_the_file(make: Make) -> None:
    """The detector sees the images at twice their size, or squeezed; its boxes fit the annotations all the same."""
    for steps in ((), ({"type": "Resize", "scale": (160, 160), "keep_ratio": True},)):
        evaluation, found = evaluate_detector(
            bright_detector(), make(*steps), RotatedCocoMetric(iou_thrs=0.9), **OPTIONS
        )
        assert evaluation.map == 1 and evaluation.gts.sum() == len(found.scores) == 8
        assert found.images == [f"P{i}" for i in range(5)] and found.classes == list(CLASSES)
        assert not (found.image == 3).any() and not found.notices
    squeezed = {"type": "Resize", "scale": (120, 70), "keep_ratio": False}
    assert evaluate_detector(bright_detector(), make(squeezed), DOTAMetric(iou_thrs=0.75), **OPTIONS)[
        0
    ].map == pytest.approx(1)


def test_batches_and_workers_change_nothing(make: Make) -> None:
    dataset, detector = make(), bright_detector()
    plain = detect(detector, dataset, **OPTIONS)
    for changes in ({"batch_size": 1}, {"batch_size": 5}, {"num_workers": 2}):
        other = detect(detector, dataset, **{**OPTIONS, **changes})
        for column in ("quads", "scores", "image", "label"):
            np.testing.assert_array_equal(getattr(other, column), getattr(plain, column))


def test_windows_are_read_row_by_row(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what is found comes in the order of the records, by their names, which is another."""
    whole = make()
    pipeline, whole.transforms = whole.transforms, []
    tiles = TiledDataset(dataset=whole, sizes=(40,), gaps=(20,), pipeline=pipeline)
    asked, sample = [], tiles.sample
    monkeypatch.setattr(tiles, "sample", lambda i, rng: asked.append(tiles.records[i]) or sample(i, rng))
    found = detect(bright_detector(), tiles, **OPTIONS)
    assert found.images == [record.name for record in tiles.records] and len(found.scores)
    places = [(record.path, record.window.area[1], record.window.area[0]) for record in asked]
    assert places == sorted(places) and len(set(places)) == len(tiles)
    assert [record.name for record in asked] != found.images


def test_predictions_of_a_loader(make: Make) -> None:
    loader = build_loader(make(), [[Draw(0, 4), Draw(1, 3)], [Draw(2, 0)]], num_workers=0, angle_version="le90", seed=0)
    detector = bright_detector().train()
    records, skipped = predict(detector, loader, "cpu", progress=False)
    found = [record.instances for record in records]
    assert [r.name for r in records] == ["P4", "P3", "P0"] and [len(p.scores) for p in found] == [2, 0, 2]
    for p in found:
        assert p.boxes.dtype == p.scores.dtype == np.float64 and p.labels.dtype == np.int64 and p.kind == "rbox"
        assert (p.boxes[:, 2] >= p.boxes[:, 3]).all()
    assert detector.training and skipped == {}
    assert predict(detector.eval(), [], "cpu", progress=False) == ([], {}) and not detector.training


def test_the_mode_comes_back_after_an_error(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    detector = bright_detector().train()

    def broken(*_: Any) -> Any:
        assert not detector.training and not torch.is_grad_enabled()
        raise RuntimeError("broken")

    monkeypatch.setattr(detector.bbox_head, "decode", broken)
    with pytest.raises(RuntimeError, match="broken"):
        detect(detector, make(), **OPTIONS)
    assert detector.training


def test_an_image_that_cannot_be_read(make: Make, tmp_path: Path) -> None:
    """It is counted and named, and its objects are missed; the others are found."""
    dataset = make()
    content = (tmp_path / "images/P1.png").read_bytes()
    (tmp_path / "images/P1.png").write_bytes(content[:100])
    for batch_size in (1, 3):
        options = {**OPTIONS, "batch_size": batch_size}
        evaluation, found = evaluate_detector(bright_detector(), dataset, DOTAMetric(protocol="voc12"), **options)
        assert evaluation.gts.sum() == 8 and len(found.scores) == 6 and not (found.image == 1).any()
        assert found.skipped == {"unreadable image": 1}
        (notice,) = evaluation.notices
        assert notice.startswith("1 of 5 images could not be read; their objects count as missed; first: ")
        assert "P1.png: " in notice


def test_the_threshold(make: Make) -> None:
    every = detect(bright_detector(), make(), **OPTIONS)
    middle = float(np.sort(every.scores)[4])
    some = detect(bright_detector(), make(), score_thr=middle, **OPTIONS)
    assert len(some.scores) == 4 and some.scores.tolist() == every.scores[every.scores >= middle].tolist()


def test_turned_views_find_more(make: Make) -> None:
    """Objects that lie, in images turned by a quarter, are seen by a detector of lying objects in turned views only."""
    turned = make({"type": "Resize", "scale": (160, 160), "keep_ratio": True})
    detector = bright_detector(lying=True)
    for record in turned.records:
        pixels = cv2.imread(str(record.path))
        height = pixels.shape[0]
        cv2.imwrite(str(record.path), cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE))
        x, y = record.instances.boxes[:, 0::2].copy(), record.instances.boxes[:, 1::2].copy()
        record.instances.boxes[:, 0::2], record.instances.boxes[:, 1::2] = height - y, x
    metric = DOTAMetric(iou_thrs=0.75, protocol="voc12")
    assert evaluate_detector(detector, turned, metric, **OPTIONS)[0].recall.sum() == 0
    evaluation, _ = evaluate_detector(detector, turned, metric, tta=views_of("rotate"), **OPTIONS)
    assert evaluation.map == 1 and evaluation.dets.sum() == 8


def test_a_real_detector(make: Make) -> None:
    """An untrained one: what it finds in the files is what the predictor finds, and views merge."""
    torch.manual_seed(0)
    model = small_config("oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota")
    model["test_cfg"]["rcnn"] |= {"score_thr": 1e-4, "max_per_img": 30}
    detector = build_detector(model)
    detector.init_weights()
    dataset = make({"type": "Resize", "scale": (128, 96), "keep_ratio": True})
    found = detect(detector, dataset, **{**OPTIONS, "batch_size": 1})
    predictor = Predictor(detector, CLASSES, scale=(128, 96))
    for i, record in enumerate(dataset.records):
        prediction = predictor.predict(record.path)
        rows = found.image == i
        assert rows.sum() == len(prediction) > 5
        np.testing.assert_allclose(found.quads[rows], prediction.quads, atol=1e-3)
        np.testing.assert_allclose(found.scores[rows], prediction.scores, rtol=1e-4)
    views = views_of("flip,scales")
    evaluation, merged = evaluate_detector(detector, dataset, DOTAMetric(), tta=views, **OPTIONS)
    assert len(merged.scores) > 0 and evaluation.gts.sum() == 8
    for i in range(5):
        for label in range(3):
            rows = (merged.image == i) & (merged.label == label)
            overlaps = geometry.box_iou(merged.quads[rows], merged.quads[rows]) - np.eye(rows.sum())
            assert overlaps.max(initial=0) < 0.1 + 1e-4
