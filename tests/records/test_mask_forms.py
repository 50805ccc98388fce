"""Masks as pixels and within boxes: they stay with their objects, and become the pixels that they should."""

import math
import pickle

import numpy as np
import pytest

from rotx.boxes import rotation_matrix, scale_matrix, translation_matrix
from rotx.records import Bitmaps, BoxMasks, Instances, Masks, concatenate


def detections(grids: object, boxes: list[list[float]]) -> Instances:
    scores = np.linspace(0.9, 0.1, len(boxes))
    return Instances(
        np.array(boxes), "hbox", np.arange(len(boxes)), scores=scores, masks=BoxMasks(np.asarray(grids, np.float32))
    )


def pixels_of(found: Instances, height: int, width: int) -> np.ndarray:
    pasted = found.paste(height, width)
    assert isinstance(pasted.masks, Masks) and pasted.paste(height, width) is pasted
    return pasted.masks.bitmaps(height, width)


@pytest.mark.parametrize("form", ["bitmaps", "boxes"])
def test_masks_stay_with_their_objects(form: str) -> None:
    torch = pytest.importorskip("torch")
    values = np.arange(3 * 4 * 5).reshape(3, 4, 5)
    masks = Bitmaps((values % 2).astype(np.uint8)) if form == "bitmaps" else BoxMasks(values / 60)
    array = masks.pixels if isinstance(masks, Bitmaps) else masks.grids
    given = Instances(np.zeros((3, 4)), "hbox", np.arange(3), masks=masks)

    def rows(one: Instances) -> object:
        return one.masks.pixels if isinstance(one.masks, Bitmaps) else one.masks.grids  # type: ignore[union-attr]

    both = concatenate([given[np.array([False, False, True])], given[[0, 1]]])
    assert both.labels.tolist() == [2, 0, 1]
    np.testing.assert_array_equal(rows(both), array[[2, 0, 1]])
    tensors = pickle.loads(pickle.dumps(given.to("cpu")))
    assert isinstance(rows(tensors), torch.Tensor)
    assert len(tensors[torch.tensor([2])].masks) == 1
    np.testing.assert_array_equal(rows(concatenate([tensors, tensors]).numpy()), np.concatenate([array, array]))
    with pytest.raises(ValueError, match="one for each of 2 boxes"):
        Instances(np.zeros((2, 4)), "hbox", np.arange(2), masks=masks)


def test_a_full_mask_is_its_box() -> None:
    boxes = [[2.0, 3, 7, 9], [-4, -4, 3, 3], [8, 8, 30, 30], [2.6, 2.4, 4.6, 4.4], [40, 2, 50, 9], [4, 4, 4, 9]]
    found = detections(np.ones((len(boxes), 28, 28)), boxes)
    pixels = pixels_of(found, 12, 14)
    y, x = np.mgrid[:12, :14] + 0.5
    for mask, (x1, y1, x2, y2) in zip(pixels, boxes, strict=True):
        inside = (x >= x1) & (x <= x2) & (y >= y1) & (y <= y2) & (x2 > x1)
        np.testing.assert_array_equal(mask, inside)
    assert pixels.sum() == 30 + 9 + 24 + 4


def test_pasting_interpolates_like_torch() -> None:
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.random((20, 1, 5, 5), dtype=np.float32))
    grids = torch.nn.functional.interpolate(coarse, (28, 20), mode="bilinear")
    corner, size = rng.uniform(-30, 60, (20, 2)), rng.uniform(2, 90, (20, 2))
    boxes = np.concatenate([corner, corner + size], axis=1)
    pixels = pixels_of(detections(grids[:, 0].numpy(), boxes.tolist()), 70, 80)
    center, half = torch.from_numpy(corner + size / 2), torch.from_numpy(size / 2)
    y, x = np.mgrid[:70, :80] + 0.5
    places = torch.from_numpy(np.stack([x, y], axis=-1))
    grid = (places - center[:, None, None]) / half[:, None, None]
    values = torch.nn.functional.grid_sample(grids.double(), grid, align_corners=False)[:, 0].numpy()
    sure = np.abs(values - 0.5) > 1e-4
    np.testing.assert_array_equal(pixels[sure], (values >= 0.5)[sure])
    assert 0.05 < pixels.mean() < 0.95


@pytest.mark.parametrize("flip", ["horizontal", "vertical", "diagonal"])
def test_they_follow_moves_that_keep_boxes_upright(flip: str) -> None:
    rng = np.random.default_rng(1)
    boxes = [[3.0, 4, 21, 25], [10, 2, 37, 12]]
    found = detections(rng.random((2, 7, 7)), boxes)
    pixels = pixels_of(found, 30, 40)
    mirror = np.eye(3)
    if flip in ("horizontal", "diagonal"):
        mirror[0] = [-1, 0, 40]
        pixels = pixels[:, :, ::-1]
    if flip in ("vertical", "diagonal"):
        mirror[1] = [0, -1, 30]
        pixels = pixels[:, ::-1]
    np.testing.assert_array_equal(pixels_of(found.move(mirror), 30, 40), pixels)
    shifted = pixels_of(found.move(mirror).move(translation_matrix(2, 1)), 30, 40)
    np.testing.assert_array_equal(shifted, np.roll(pixels, (1, 2), axis=(1, 2)))
    # Threefold pixels have the centres of the former ones among theirs.
    large = pixels_of(found.move(mirror).move(scale_matrix(3, 3)), 90, 120)
    np.testing.assert_array_equal(large[:, 1::3, 1::3], pixels)


@pytest.mark.parametrize("quarters", [1, 2, 3])
def test_they_turn_at_right_angles(quarters: int) -> None:
    rng = np.random.default_rng(3)
    found = detections(rng.random((2, 7, 9)), [[3.0, 4, 21, 25], [10, 2, 37, 12]])
    turn = rotation_matrix((20, 15), quarters * math.pi / 2)
    height, width = (40, 30) if quarters % 2 else (30, 40)
    turned = found.move(translation_matrix(width / 2 - 20, height / 2 - 15) @ turn)
    np.testing.assert_array_equal(
        pixels_of(turned, height, width), np.rot90(pixels_of(found, 30, 40), -quarters, axes=(1, 2))
    )


def test_run_lengths_are_those_of_pycocotools() -> None:
    """Also where a run goes on in the next column, and where nothing or everything is on."""
    rng = np.random.default_rng(2)
    for size in ((7, 9), (1, 6), (6, 1)):
        for box in ([0, 0, size[1], size[0]], [0, 0, 2, size[0]], [-3, -4, 4, 5], [20, 20, 30, 30]):
            for grid in (np.ones((4, 4)), np.zeros((4, 4)), rng.random((4, 4))):
                pasted = detections([grid], [[float(value) for value in box]]).paste(*size)
                assert isinstance(pasted.masks, Masks)
                assert pasted.masks.items == Masks.of_bitmaps(pasted.masks.bitmaps(*size)).items


def test_what_cannot_be_moved_says_so() -> None:
    turn = np.array([[math.cos(0.3), -math.sin(0.3), 0], [math.sin(0.3), math.cos(0.3), 0], [0, 0, 1]])
    with pytest.raises(ValueError, match="scale, shift, mirror or turn at right angles"):
        BoxMasks(np.ones((1, 2, 2))).move(turn)
    with pytest.raises(ValueError, match="move polygons"):
        Bitmaps(np.ones((1, 2, 2), np.uint8)).move(turn)


def test_the_threshold_belongs_to_the_mask() -> None:
    grid = np.full((1, 4, 4), 0.25, np.float32)
    box = np.array([[0.0, 0, 8, 8]])
    for threshold, count in ((0.25, 36), (0.3, 0)):  # towards the edges of its box, a mask falls to half
        assert BoxMasks(grid, threshold).paste(box, 8, 8).bitmaps(8, 8).sum() == count
    assert isinstance(BoxMasks(grid).paste(box, 8, 8), Masks)
