"""From patches to whole images: names by hand, merging against shapely, MMRotate's own merge, and real results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import shapely
from numpy.typing import NDArray

from conftest import GOLDENS
from rotx import geometry
from rotx.annotations.formats import read_detections
from rotx.evaluation import evaluate_boxes, get_protocol
from rotx.records import InstanceTable
from rotx.tiling.merging import merge_annotations, merge_detections, parse_patches

Floats = NDArray[np.float64]
CLASSES = ["plane", "ship"]


def detections(
    images: Sequence[str], image: Sequence[int], rboxes: Floats, scores: Floats, label: Floats
) -> InstanceTable:
    quads = geometry.rbox_to_quad(np.reshape(rboxes, (-1, 5)))
    return InstanceTable(
        list(images),
        CLASSES,
        quads,
        "quad",
        np.array(image, np.int32),
        np.array(label, np.int32),
        np.asarray(scores, float),
    )


def annotations(
    images: Sequence[str], image: Sequence[int], quads: Floats, label: Sequence[int], difficult: Sequence[int]
) -> InstanceTable:
    arrays = np.array(image, np.int32), np.array(label, np.int32), np.array(difficult, np.uint8)
    return InstanceTable(list(images), CLASSES, np.reshape(quads, (-1, 8)), "quad", *arrays[:2], difficult=arrays[2])


# Names


def test_names() -> None:
    names = [
        "P1__1024__0___824",
        "a__b__800__-10___5",
        "P1__0.5__100___20",
        "P1__1__0___0",
        "P1__682__3___4",
        "é x__64__0___0",
    ]
    patches = parse_patches(names)
    assert patches.images == ["P1", "a__b", "é x"]
    assert patches.image.tolist() == [0, 1, 0, 0, 0, 2]
    assert patches.rate.tolist() == [1, 1, 0.5, 1, 1, 1]
    assert patches.corner.tolist() == [[0, 824], [-10, 5], [100, 20], [0, 0], [3, 4], [0, 0]]
    mmrotate, devkit = patches.notices
    assert mmrotate.startswith("4 patches named as MMRotate") and devkit.startswith(
        "2 patches named as the DOTA devkit"
    )


def test_a_devkit_patch_is_cut_from_the_resized_image() -> None:
    """Of a patch at (100, 200) at rate 0.5, (10, 20) is (110, 220) of the half image, (220, 440) of the whole."""
    patches = parse_patches(["P1__0.5__100___200"])
    whole = patches.to_whole(np.array([[10.0, 20, 30, 20, 30, 40, 10, 40]]), np.zeros(1, np.int32))
    assert whole.tolist() == [[220, 440, 260, 440, 260, 480, 220, 480]]


@pytest.mark.parametrize("name", ["P0001", "P1__1024__0", "P1__1024__0__0", "P1__x__0___0", "__1024__0___0", ""])
def test_not_made_of_patches(name: str) -> None:
    with pytest.raises(
        ValueError, match=f"^not made of patches: image '{name}'; need names of patches such as P0001__1024__824___0"
    ):
        parse_patches(["P1__1024__0___0", name])


@pytest.mark.parametrize("number", ["0", "5", "63", "0.0"])
def test_neither_a_size_nor_a_rate(number: str) -> None:
    with pytest.raises(ValueError, match=r"patch 'P1__.* is neither a rate \(up to 4\) nor a size"):
        parse_patches([f"P1__{number}__0___0"])


def test_a_patch_for_each_image() -> None:
    patches = parse_patches(["P1__1024__0___0"])
    two = ["P1__1024__0___0", "P1__1024__0___824"]
    with pytest.raises(ValueError, match="one for each of 2 images, got 1"):
        merge_detections(detections(two, [], np.zeros((0, 5)), [], []), patches)
    with pytest.raises(ValueError, match="one for each of 2 images, got 1"):
        merge_annotations(annotations(two, [], np.zeros((0, 8)), [], []), patches)


# Detections


def suppressed_by_shapely(quads: Floats, scores: Floats, group: NDArray[np.int64], threshold: float) -> list[int]:
    """Greedy suppression, pair by pair."""
    polygons = [shapely.Polygon(q.reshape(4, 2)) for q in quads]
    kept: list[int] = []
    for i in np.argsort(-scores, kind="stable").tolist():
        rivals = [j for j in kept if group[j] == group[i]]
        overlaps = [polygons[i].intersection(polygons[j]).area / polygons[i].union(polygons[j]).area for j in rivals]
        if max(overlaps, default=0) <= threshold:
            kept.append(i)
    return sorted(kept)


@pytest.mark.parametrize("seed", range(5))
def test_merged_detections_against_shapely(seed: int) -> None:
    rng = np.random.default_rng(seed)
    names = [f"{image}__{rate}__{x}___{y}" for image in "AB" for rate in (0.5, 1) for x in (0, 60) for y in (0, 60)]
    n = 300
    rboxes = np.column_stack([rng.uniform(0, 100, (n, 2)), rng.uniform(5, 40, (n, 2)), rng.uniform(-2, 2, n)])
    found = detections(names, rng.integers(0, len(names), n), rboxes, rng.uniform(0, 1, n), rng.integers(0, 2, n))
    merged = merge_detections(found, parse_patches(names), 0.1)

    # By hand, from the names.
    parts = [names[i].split("__") for i in found.image]
    rate = np.array([float(p[1]) for p in parts])[:, None]
    corner = np.array(
        [
            [float(p[2]), float(p[3].strip("_"))]
            for p in (name.replace("___", "__").split("__") for name in (names[i] for i in found.image))
        ]
    )
    quads = (found.quads + np.tile(corner, 4)) / rate
    image = np.array([p[0] == "B" for p in parts]).astype(np.int64)
    keep = suppressed_by_shapely(quads, found.scores, image * 2 + found.label, 0.1)
    assert merged.images == ["A", "B"] and 50 < len(keep) < n
    np.testing.assert_allclose(merged.quads, quads[keep], rtol=1e-12)
    assert merged.scores.tolist() == found.scores[keep].tolist()
    assert merged.image.tolist() == image[keep].tolist() and merged.label.tolist() == found.label[keep].tolist()


def test_only_one_class_of_one_image_is_suppressed() -> None:
    names = ["A__1024__0___0", "A__1024__100___0", "B__1024__0___0"]
    box = np.array([[120.0, 50, 30, 20, 0.3], [20, 50, 30, 20, 0.3], [20, 50, 30, 20, 0.3], [120, 50, 30, 20, 0.3]])
    found = detections(names, [0, 1, 1, 2], box, [0.5, 0.9, 0.8, 0.7], [0, 0, 1, 0])
    merged = merge_detections(found, parse_patches(names))
    assert merged.scores.tolist() == [0.9, 0.8, 0.7] and merged.image.tolist() == [0, 0, 1]
    np.testing.assert_allclose(merged.quads, geometry.rbox_to_quad(np.tile(box[:1], (3, 1))))


def test_no_detections() -> None:
    names = ["A__1024__0___0", "A__1024__100___0"]
    merged = merge_detections(detections(names, [], np.zeros((0, 5)), [], []), parse_patches(names))
    assert merged.images == ["A"] and merged.quads.shape == (0, 8)


@pytest.mark.parametrize("kind", ["rbox", "qbox"])
def test_mmrotates_own_merge(kind: str) -> None:
    """What MMRotate's DOTAMetric writes for two images in patches; its scores have two decimals."""
    golden = np.load(GOLDENS / "ops/dota_merge.npz")
    names = sorted({key.split("/")[1] for key in golden.files})
    parts = [[golden[f"{kind}/{name}/{what}"] for name in names] for what in ("bboxes", "scores", "labels")]
    boxes, scores, labels = (np.concatenate(part).astype(np.float64) for part in parts)
    image = np.repeat(np.arange(len(names), dtype=np.int32), [len(p) for p in parts[1]])
    quads = geometry.rbox_to_quad(boxes) if kind == "rbox" else boxes
    classes = ["plane", "ship", "harbor"]
    found = InstanceTable(names, classes, quads, "quad", image, labels.astype(np.int32), scores)
    merged = merge_detections(found, parse_patches(names), 0.1)
    want = read_detections(GOLDENS / f"ops/dota_task1_{kind}.zip", images=merged.images, classes=classes)

    def rows(of: InstanceTable) -> Floats:
        # The four corners in any order: their centre and, about it, the second moments.
        corners = of.quads.reshape(-1, 4, 2)
        centre = corners.mean(1)
        moments = np.einsum("nki,nkj->nij", corners - centre[:, None], corners - centre[:, None]).reshape(-1, 4)
        table = np.column_stack([of.image, of.label, of.scores.round(2), centre, moments[:, [0, 1, 3]]])
        return table[np.lexsort((table[:, 3], table[:, 1], table[:, 0]))]

    np.testing.assert_allclose(rows(merged)[:, :5], rows(want)[:, :5], atol=0.0051)
    np.testing.assert_allclose(rows(merged)[:, 5:], rows(want)[:, 5:], rtol=1e-3, atol=2)


def lines_by_class(of: InstanceTable) -> dict[str, Counter[tuple[object, ...]]]:
    """How often each image, score and first corner occurs."""
    lines: dict[str, Counter[tuple[object, ...]]] = {name: Counter() for name in of.classes}
    columns = of.image.tolist(), of.label.tolist(), of.scores.tolist(), *of.quads[:, :2].T.tolist()
    for image, label, *rest in zip(*columns, strict=True):
        lines[of.classes[label]][(of.images[image], *rest)] += 1
    return lines


def test_real_results(shared: Path) -> None:
    """A detector's 269,747 detections on 48,776 patches of DOTA's test images, and its authors' merge of them."""
    archive = shared / "data/gghl_dota_test_results/gghl_voc_merge.tar.xz"
    found, want = read_detections(archive / "voc"), read_detections(archive / "merge")
    merged = merge_detections(found, parse_patches(found.images), 0.4)
    assert len(found.scores) == 269_747 and set(merged.images) == set(want.images)
    counts = {name: int((want.label == label).sum()) for label, name in enumerate(want.classes)}
    assert counts == {
        "baseball-diamond": 12_483, "basketball-court": 5_444, "ground-track-field": 17_379, "helicopter": 2_719,
        "roundabout": 9_422, "soccer-ball-field": 19_419, "swimming-pool": 16_747, "tennis-court": 10_567,
    }  # fmt: skip
    ours, theirs = lines_by_class(merged), lines_by_class(want)
    for name, count in counts.items():
        assert ours[name].total() == pytest.approx(count, abs=2)
        # To the last bit. What differs hangs on equal scores, which the devkit takes in no order of its own.
        assert (ours[name] & theirs[name]).total() >= 0.999 * count
    assert sum((ours[name] & theirs[name]).total() for name in counts) >= 0.9994 * len(want.scores)


# Annotations


def cut(
    quads: Floats, label: Sequence[int], difficult: Sequence[int], size: int, step: int, extent: int
) -> InstanceTable:
    """Objects of image A in patches, as MMRotate's splitter cuts: at least 70 % inside, truncated ones marked."""
    corners = list(product(range(0, extent - size + 1, step), repeat=2))
    rows = []
    for i, (x, y) in enumerate(corners):
        window = shapely.box(x, y, x + size, y + size)
        for quad, c, d in zip(quads, label, difficult, strict=True):
            polygon = shapely.Polygon(quad.reshape(4, 2))
            inside = polygon.intersection(window).area / polygon.area
            if inside >= 0.7:
                # As the files hold them: to a tenth of a pixel.
                rows.append((i, (quad - np.tile([x, y], 4)).round(1), c, d if inside > 1 - 1e-9 else 2))
    image, moved, labels, marks = zip(*rows, strict=True)
    return annotations([f"A__{size}__{x}___{y}" for x, y in corners], image, np.array(moved), labels, marks)


@pytest.mark.parametrize("seed", range(5))
def test_copies_count_once(seed: int) -> None:
    """Patches overlap by more than any object is long, so each is complete somewhere and comes back as it was."""
    rng = np.random.default_rng(seed)
    n = 150
    rboxes = np.column_stack([rng.uniform(30, 370, (n, 2)), rng.uniform(6, 30, (n, 2)), rng.uniform(-2, 2, n)])
    # Neighbours of one class may touch and overlap, but not be taken for each other.
    label = rng.integers(0, 2, n)
    overlaps = geometry.box_iou(rboxes, rboxes) * (label[:, None] == label)
    rboxes, label = rboxes[~(np.triu(overlaps, 1) > 0.4).any(1)], label[~(np.triu(overlaps, 1) > 0.4).any(1)]
    quads, difficult = geometry.rbox_to_quad(rboxes), rng.integers(0, 2, len(rboxes))
    patched = cut(quads, label.tolist(), difficult.tolist(), 100, 50, 400)
    merged = merge_annotations(patched, parse_patches(patched.images))

    assert len(patched.quads) > 2.5 * len(quads) and (patched.difficult == 2).any()
    assert merged.images == ["A"] and len(merged.quads) == len(quads)
    nearest = np.abs(merged.quads[:, None] - quads).max(2)
    assert nearest.min(1).max() < 0.06 and len(set(nearest.argmin(1))) == len(quads)
    assert merged.label.tolist() == label[nearest.argmin(1)].tolist()
    assert merged.difficult.tolist() == difficult[nearest.argmin(1)].tolist()
    assert merged.notices[-1].startswith(f"{len(patched.quads):,} objects on 49 patches are {len(quads)} on 1 images")


SQUARE = np.array([0.0, 0, 20, 0, 20, 20, 0, 20])


def test_what_is_no_copy() -> None:
    names = ["A__64__0___0", "A__64__40___0", "B__64__0___0"]
    shift = np.tile([40, 0], 4)
    twice = SQUARE + np.tile([44, 10], 4)
    # One object annotated twice is there twice on both patches; the same place in another class or image is another.
    rows = [
        (0, twice, 0),
        (0, twice, 0),
        (1, twice - shift, 0),
        (1, twice - shift, 0),
        (1, twice - shift, 1),
        (2, twice, 0),
    ]
    image, quads, label = zip(*rows, strict=True)
    merged = merge_annotations(annotations(names, image, np.array(quads), label, [0] * 6), parse_patches(names))
    assert sorted(zip(merged.image.tolist(), merged.label.tolist(), strict=True)) == [(0, 0), (0, 0), (0, 1), (1, 0)]
    np.testing.assert_array_equal(merged.quads, np.tile(twice, (4, 1)))


def test_which_copy_stands() -> None:
    names = ["A__64__0___0", "A__64__40___0"]
    shift, whole = np.tile([40, 0], 4), SQUARE + np.tile([44, 10], 4)
    clipped = whole.clip(max=np.tile([60, 1e9], 4))
    for first, second, difficult, stands, mark in (
        (clipped, whole, (2, 1), whole, 1),  # the complete one
        (whole, clipped, (0, 2), whole, 0),
        (whole + 0.4, clipped, (2, 0), clipped, 0),  # even if it is smaller
        (clipped, whole, (2, 2), whole, 2),  # of two that are cut off the larger
    ):
        merged = merge_annotations(
            annotations(names, [0, 1], np.array([first, second - shift]), [0, 0], difficult), parse_patches(names)
        )
        np.testing.assert_array_equal(merged.quads, [stands])
        assert merged.difficult.tolist() == [mark]


def test_nothing_annotated() -> None:
    names = ["A__64__0___0", "A__64__40___0"]
    merged = merge_annotations(annotations(names, [], np.zeros((0, 8)), [], []), parse_patches(names))
    assert merged.images == ["A"] and merged.quads.shape == (0, 8) and merged.label.dtype == np.int32


def test_a_perfect_detector_on_patches_is_perfect_on_the_image() -> None:
    """It finds every object on every patch that shows it."""
    grid = np.array([[x, y, 18, 10, 0.4] for x in range(20, 400, 40) for y in range(20, 400, 40)], float)
    patched = cut(geometry.rbox_to_quad(grid), [0] * 100, [0] * 100, 100, 50, 400)
    rng = np.random.default_rng(0)
    found = InstanceTable(
        patched.images, CLASSES, patched.quads, "quad", patched.image, patched.label, rng.uniform(0, 1, len(patched))
    )
    patches = parse_patches(patched.images)
    result = evaluate_boxes(merge_annotations(patched, patches), merge_detections(found, patches), get_protocol("coco"))
    assert result.gts.tolist() == [100, 0] == result.dets.tolist() and result.map == 1
