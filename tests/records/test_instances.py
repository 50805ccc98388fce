"""Records: one object of each kind, with every field, as numpy arrays and as torch tensors."""

import math
import pickle
from pathlib import Path

import numpy as np
import pytest

from rotx import boxes
from rotx.records import ImageRecord, Instances, InstanceTable, Masks, concatenate

BOXES = {
    "hbox": [[10.0, 20, 50, 40], [0, 0, 4, 2]],
    "rbox": [[30.0, 30, 40, 20, 0.3], [5, 6, 4, 2, -1.2]],
    "quad": [[10.0, 20, 50, 22, 48, 40, 11, 39], [0, 0, 4, 0, 4, 2, 0, 2]],
    "points": [[10.0, 20, 50, 22, 48, 40, 11, 39, 20, 60, 30, 10], [0, 0, 4, 0, 4, 2, 0, 2, 1, 1, 2, 1]],
}


def some(kind: str, **fields: object) -> Instances:
    values = {
        "scores": np.array([0.5, 0.25]),
        "ignored": np.array([False, True]),
        "difficult": np.array([0, 2], np.uint8),
        "masks": Masks([[np.array([0.0, 0, 4, 0, 4, 4])], [np.array([1.0, 1, 3, 1, 3, 3])]]),
    }
    return Instances(np.array(BOXES[kind]), kind, np.array([1, 0]), **{**values, **fields})


@pytest.mark.parametrize("kind", BOXES)
def test_fields_stay_together(kind: str) -> None:
    given = some(kind)
    picked = given[np.array([False, True])]
    assert len(picked) == 1
    assert picked.labels.tolist() == [0]
    assert picked.scores.tolist() == [0.25]
    assert picked.difficult.tolist() == [2]
    assert picked.masks is not None
    assert picked.masks.items[0][0].tolist() == [1, 1, 3, 1, 3, 3]
    both = concatenate([picked, given[:1]])
    assert both.labels.tolist() == [0, 1]
    assert both.boxes.tolist() == [BOXES[kind][1], BOXES[kind][0]]
    assert np.shares_memory(given[:1].boxes, given.boxes)


@pytest.mark.parametrize("kind", BOXES)
@pytest.mark.parametrize("to", ["hbox", "rbox", "quad"])
def test_tensors_and_arrays_convert_alike(kind: str, to: str) -> None:
    torch = pytest.importorskip("torch")
    given = some(kind)
    ours = given.convert(to)
    theirs = given.to("cpu").convert(to)
    assert isinstance(theirs.boxes, torch.Tensor)
    assert theirs.boxes.dtype == torch.float64
    np.testing.assert_allclose(theirs.numpy().boxes, ours.boxes, atol=1e-9)
    inside = boxes.corners(ours.convert("hbox").boxes, "hbox")
    points = boxes.corners(given.boxes, kind)
    assert (points.min(axis=1) >= inside.min(axis=1) - 1e-9).all()
    assert (points.max(axis=1) <= inside.max(axis=1) + 1e-9).all()


@pytest.mark.parametrize("kind", BOXES)
def test_a_move_is_undone_by_its_inverse(kind: str) -> None:
    matrix = boxes.rotation_matrix((20, 10), math.pi / 2) @ boxes.scale_matrix(2, 2) @ boxes.translation_matrix(3, -4)
    given = some(kind)
    back = given.move(matrix).move(np.linalg.inv(matrix))
    np.testing.assert_allclose(back.quads, given.quads, atol=1e-9)
    assert back.masks is not None
    np.testing.assert_allclose(back.masks.items[0][0], [0, 0, 4, 0, 4, 4], atol=1e-9)


@pytest.mark.parametrize("kind", BOXES)
def test_a_flip_moves_every_corner(kind: str) -> None:
    given = some(kind)
    moved = given.move(boxes.flip_matrix((100, 200), "horizontal"))
    found = np.sort(boxes.corners(moved.boxes, kind)[..., 0], axis=1)
    np.testing.assert_allclose(found, np.sort(200 - boxes.corners(given.boxes, kind)[..., 0], axis=1), atol=1e-9)


def test_unequal_scaling_gives_the_least_rectangle() -> None:
    given = Instances(np.array([[0.0, 0, 4, 4, math.pi / 4]]), "rbox", np.array([0]))
    moved = given.move(boxes.scale_matrix(2, 1))
    corners = boxes.corners(given.boxes, "rbox") * [2, 1]
    # Every corner lies on the border of the rectangle or in it.
    center, angle = moved.boxes[0, :2], moved.boxes[0, 4]
    turn = np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    assert (np.abs((corners[0] - center) @ turn.T) <= moved.boxes[0, 2:4] / 2 + 1e-9).all()


def test_masks_become_pixels() -> None:
    coco = pytest.importorskip("pycocotools.mask")
    masks = Masks([[np.array([2.0, 1, 6, 1, 6, 5, 2, 5])], [np.array([0.0, 0, 2, 0, 2, 2, 0, 2])]])
    pixels = masks.bitmaps(8, 10)
    assert pixels.shape == (2, 8, 10)
    assert pixels[0].sum() == 16
    assert pixels[0, 1:5, 2:6].all()
    runs = masks.runs(8, 10)
    assert (coco.decode(runs[0]) == pixels[0]).all()
    assert (Masks(runs).bitmaps(8, 10) == pixels).all()
    assert Masks([]).bitmaps(3, 4).shape == (0, 3, 4)


def test_tables_and_records_hold_the_same_objects() -> None:
    table = InstanceTable(
        images=["b", "a", "empty"],
        classes=["ship", "plane"],
        boxes=np.array(BOXES["quad"] + BOXES["quad"][:1]),
        kind="quad",
        image=np.array([0, 1, 0], np.int32),
        label=np.array([0, 1, 1], np.int32),
        difficult=np.array([0, 1, 2], np.uint8),
        paths=[Path("b.png"), Path("a.png"), Path("e.png")],
        sizes=[(5, 6), None, (7, 8)],
    )
    records = table.records()
    assert [record.name for record in records] == ["a", "b", "empty"]
    assert records[1].instances.labels.tolist() == [0, 1]
    assert records[1].instances.difficult.tolist() == [0, 2]
    back = InstanceTable.of_records(records, table.classes)
    assert back.image.tolist() == [0, 1, 1]
    assert back.boxes.tolist() == [table.boxes[1].tolist(), table.boxes[0].tolist(), table.boxes[2].tolist()]
    table.keep_images(np.array([True, False, True]))
    assert (table.images, table.image.tolist(), table.label.tolist()) == (["b", "empty"], [0, 0], [0, 1])


def test_pickles_are_small() -> None:
    table = np.zeros((100_000, 8))
    record = ImageRecord("a", Path("a.png"), Instances(table[5:7], "quad", np.zeros(2, np.int64)), (3, 4))
    assert len(pickle.dumps(record)) < 2_000


@pytest.mark.parametrize(
    ("fields", "error", "message"),
    [
        ({"boxes": np.zeros((2, 4))}, ValueError, r"need rbox boxes \(..., 5\), got shape \(2, 4\)"),
        ({"boxes": np.zeros(5)}, ValueError, r"need shape \(N, D\)"),
        ({"kind": "circle"}, ValueError, "need one of 'hbox', 'rbox', 'quad', 'points', got 'circle'"),
        ({"labels": np.zeros(3, np.int64)}, ValueError, "labels: need one for each of 2 boxes"),
        ({"labels": np.zeros(2, np.int32)}, TypeError, "need int64, got int32"),
        ({"masks": Masks([])}, ValueError, "masks: need one for each of 2 boxes, got 0"),
    ],
)
def test_wrong_fields_are_named(fields: dict[str, object], error: type[Exception], message: str) -> None:
    given = {"boxes": np.zeros((2, 5)), "kind": "rbox", "labels": np.zeros(2, np.int64)}
    with pytest.raises(error, match=message):
        Instances(**{**given, **fields})


def test_old_constructors_warn_and_work() -> None:
    from rotx.records.deprecated import Annotations, Detections, Record

    quads, image, label = np.array(BOXES["quad"]), np.array([0, 0]), np.array([0, 1])
    with pytest.warns(DeprecationWarning, match=r"Annotations is now rotx\.records\.InstanceTable"):
        truth = Annotations(["P1"], ["a", "b"], quads, image, label, np.array([1, 0], np.uint8), notices=["n"])
    assert (truth.quads.tolist(), truth.difficult.tolist(), truth.notices) == (quads.tolist(), [1, 0], ["n"])
    with pytest.warns(DeprecationWarning):
        found = Detections(["P1"], ["a", "b"], quads, np.array([0.5, 0.25]), image, label)
    assert (found.scores.tolist(), found.image.dtype, found.kind) == ([0.5, 0.25], np.int32, "quad")
    with pytest.warns(DeprecationWarning):
        record = Record("P1", Path("P1.png"), quads, label, np.zeros(2, np.uint8), np.array([True, False]), (3, 4))
    assert (record.size, record.instances.ignored.tolist()) == ((3, 4), [True, False])


@pytest.mark.parametrize("kind", BOXES)
def test_whole_numbers_become_floating(kind: str) -> None:
    whole = np.array(BOXES[kind]).astype(np.int64)
    given, exact = (Instances(values, kind, np.array([1, 0])) for values in (whole, whole.astype(float)))
    shift = np.array([[0.5, 0, 0.6], [0, 0.5, 0], [0, 0, 1]])
    np.testing.assert_array_equal(given.move(shift).boxes, exact.move(shift).boxes)
    np.testing.assert_array_equal(boxes.move(whole, kind, shift), exact.move(shift).boxes)


def test_areas_of_bytes_do_not_overflow() -> None:
    assert boxes.area(np.array([[0, 0, 200, 200]], np.uint8), "hbox").tolist() == [40_000]
    assert boxes.convert(np.array([[10, 10, 200, 250]], np.uint8), "hbox", "rbox").tolist() == [[105, 130, 190, 240, 0]]


def test_what_one_part_does_not_say_is_no_object() -> None:
    joined = concatenate([some("hbox"), some("hbox", ignored=None, difficult=None)])
    assert joined.ignored.tolist() == [False, True, False, False]
    assert joined.difficult.tolist() == [0, 2, 0, 0]
    nothing = Instances.empty("hbox")
    assert len(concatenate([some("hbox"), nothing]).masks) == 2
    with pytest.raises(ValueError, match="some parts have scores, others have none"):
        concatenate([some("hbox"), some("hbox", scores=None)])
    with pytest.raises(ValueError, match="masks of one form in all parts, got Masks, no masks"):
        concatenate([some("hbox"), some("hbox", masks=None)])


def test_wrong_fields() -> None:
    with pytest.raises(TypeError, match="labels: need int64, got uint64"):
        Instances(np.zeros((1, 4)), "hbox", np.zeros(1, np.uint64))
    with pytest.raises(TypeError, match="need an array or tensor"):
        Instances([[1.0, 2, 3, 4]], "hbox", np.zeros(1, np.int64))
    with pytest.raises(TypeError, match="select by a slice"):
        some("hbox")[0]
    assert len(some("hbox")[[]]) == 0
