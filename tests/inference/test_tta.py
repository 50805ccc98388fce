"""Views of an image: what is found in them comes back to where it is, and merges."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bright import bright_detector, picture
from rotx import boxes, geometry
from rotx.models import build_detector
from rotx.models.tta import View, predict_plain, predict_views, views_of
from small import small_config

SIZE = (90, 125)
RBOXES = np.array([[30.0, 22, 40, 12, 0.3], [88.5, 40, 30, 14, -1.1], [40, 66.25, 36, 10, 1.4], [95, 74, 24, 16, 0.0]])
LABELS = np.array([0, 1, 2, 0])
ALL = views_of("flip,rotate,scales")


@pytest.fixture(scope="module")
def image() -> torch.Tensor:
    return torch.from_numpy(picture(SIZE, RBOXES, LABELS).transpose(2, 0, 1).copy())


def test_the_views() -> None:
    assert [len(views_of(kinds)) for kinds in ("flip", "rotate", "scales", "rotate, flip")] == [4, 4, 3, 8]
    assert len(set(ALL)) == len(ALL) == 24 and ALL[0] == View()
    grid = torch.arange(3 * 5 * 5).reshape(3, 5, 5)
    # The eight ways to lay a picture on a table, all different.
    assert len({str(view.see(grid).tolist()) for view in views_of("flip,rotate")}) == 8
    assert View(turns=1).see(torch.tensor([[[1, 2, 3], [4, 5, 6]]])).tolist() == [[[4, 1], [5, 2], [6, 3]]]
    assert View(mirrored=True).see(torch.tensor([[[1, 2, 3]]])).tolist() == [[[3, 2, 1]]]
    assert View(scale=0.75).see(torch.zeros(3, 90, 125, dtype=torch.uint8)).shape == (3, 68, 94)


@pytest.mark.parametrize("kinds", ["", "flip,", "scale", "flip rotate"])
def test_unknown_kinds(kinds: str) -> None:
    with pytest.raises(ValueError, match="tta: need flip, rotate, scales, or several of them separated by commas, got"):
        views_of(kinds)


@pytest.mark.parametrize("view", ALL, ids=str)
def test_what_is_found_comes_back(image: torch.Tensor, view: View) -> None:
    """The rectangles that the detector measures in the pixels of the view are those that were drawn."""
    detector = bright_detector()
    (found,) = predict_plain(detector, [view.see(image)])
    rboxes = view.undo(found, SIZE).boxes.double().numpy()
    overlaps = geometry.box_iou(rboxes, RBOXES)
    assert sorted(overlaps.argmax(1)) == [0, 1, 2, 3]
    assert overlaps.max(1).min() > (0.97 if view.scale == 1 else 0.85)  # small pictures blur their edges
    order = overlaps.argmax(1)
    np.testing.assert_allclose(rboxes[:, :2], RBOXES[order, :2], atol=0.06)
    assert found.labels.tolist() == LABELS[order].tolist()


def test_merging(image: torch.Tensor) -> None:
    """Of 24 views each object is found once, as the view with the best score saw it."""
    detector = bright_detector()
    merged, nothing = predict_views(detector, [image, torch.zeros(3, 50, 60, dtype=torch.uint8)], ALL)
    assert len(merged) == 4 and len(nothing) == 0 and nothing.boxes.shape == (0, 5)
    overlaps = geometry.box_iou(merged.boxes.numpy(), RBOXES)
    assert sorted(overlaps.argmax(1)) == [0, 1, 2, 3] and overlaps.max(1).min() > 0.85
    assert (merged.scores.diff() <= 0).all()


def test_turning_finds_what_stands(image: torch.Tensor) -> None:
    """A detector that knows only lying objects finds those that stand in the turned image."""
    detector = bright_detector(lying=True)
    counts = [len(predict_views(detector, [image], views)[0]) for views in ((View(),), views_of("rotate"))]
    assert counts == [2, 4]


@pytest.mark.parametrize(
    "name",
    [
        "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota",
        "oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota",
    ],
)
def test_a_real_detector_answers_alike_however_the_picture_lies(name: str) -> None:
    """The eight views of a picture are those of its mirror image and of the turned picture, in another order."""
    torch.manual_seed(0)
    model = small_config(name)
    test_cfg = model["test_cfg"].get("rcnn", model["test_cfg"])
    test_cfg |= {"score_thr": 1e-4, "max_per_img": 30}
    detector = build_detector(model)
    detector.init_weights()
    detector.eval()
    pixels = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (3, 64, 96), dtype=np.uint8))
    views = views_of("flip,rotate")
    (plain,), (mirrored,), (turned,) = (
        predict_views(detector, [seen], views) for seen in (pixels, pixels.flip(2), pixels.rot90(-1, (1, 2)))
    )
    assert len(plain) > 10
    height, width = 64, 96
    back = boxes.rotate(turned.boxes, (0, 0), -np.pi / 2) + torch.tensor([0, height, 0, 0, 0])
    for other, rboxes in ((mirrored, boxes.flip(mirrored.boxes, (height, width), "horizontal")), (turned, back)):
        torch.testing.assert_close(other.scores, plain.scores, rtol=1e-4, atol=1e-6)
        overlaps = geometry.box_iou_aligned(rboxes.double().numpy(), plain.boxes.double().numpy())
        # Scores that differ in the last digit may stand in another order.
        assert np.mean(overlaps > 0.999) > 0.9
