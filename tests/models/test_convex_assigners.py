"""Assigners of places and of point sets: equal to MMRotate's, to their rules one by one, and bounded in memory."""

import json
from functools import cache

import numpy as np
import pytest

from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="models need torch")

from rotx import geometry  # noqa: E402
from rotx.boxes import area  # noqa: E402
from rotx.models.assigners import convex, max_iou  # noqa: E402
from rotx.models.assigners.assignment import assign_usable  # noqa: E402
from rotx.models.assigners.convex import ConvexAssigner  # noqa: E402
from rotx.models.assigners.max_convex_iou import MaxConvexIoUAssigner  # noqa: E402
from rotx.models.assigners.overlaps import ConvexOverlaps  # noqa: E402
from rotx.models.priors.points import MlvlPointGenerator  # noqa: E402
from rotx.records import Instances  # noqa: E402

OPS = GOLDENS / "ops"
STRIDES = [8, 16, 32, 64, 128]


@cache
def arrays() -> dict[str, torch.Tensor]:
    with np.load(OPS / "assigners.npz") as file:
        return {key: torch.from_numpy(value) for key, value in file.items()}


def objects() -> Instances:
    return Instances(arrays()["gt_q"], "quad", arrays()["labels"])


def places(finest: int = 64) -> torch.Tensor:
    levels = MlvlPointGenerator(STRIDES, offset=0.0).grid_priors([(finest // 2**i,) * 2 for i in range(5)])
    pairs = zip(levels, STRIDES, strict=True)
    return torch.cat([torch.nn.functional.pad(level, (0, 1), value=stride) for level, stride in pairs])


def point_sets() -> torch.Tensor:
    """As the goldens' own: points spread about their places."""
    own = places()
    spread = np.random.Generator(np.random.PCG64(155)).normal(0, 1.5, (len(own), 9, 2)).astype(np.float32)
    return (own[:, None, :2] + torch.from_numpy(spread) * own[:, None, 2:]).reshape(len(own), 18)


@pytest.mark.parametrize("pairs", [1 << 22, 12_000])
@pytest.mark.parametrize("case", ["4.0_1", "4.0_3", "8.0_1"])
def test_places_as_mmrotate(case: str, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convex, "_PAIRS", pairs)
    scale, number = case.split("_")
    found = ConvexAssigner(scale=float(scale), pos_num=int(number)).assign(places(), objects())
    assert torch.equal(found.gt_inds, arrays()[f"Convex/{case}/gt_inds"])
    assert torch.equal(found.labels, arrays()[f"Convex/{case}/labels"])


@pytest.mark.parametrize("pairs", [1 << 22, 12_000])
@pytest.mark.parametrize("case", ["0.4", "0.1"])
def test_point_sets_as_mmrotate(case: str, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(max_iou, "_PAIRS", pairs)
    settings = json.loads((OPS / "assigners.json").read_text())[f"MaxConvexIoU/{case}"]["cfg"]
    found = MaxConvexIoUAssigner(**settings).assign(point_sets(), objects())
    torch.testing.assert_close(found.max_overlaps, arrays()[f"MaxConvexIoU/{case}/max_overlaps"], rtol=0, atol=1e-5)
    assert torch.equal(found.gt_inds, arrays()[f"MaxConvexIoU/{case}/gt_inds"])
    assert torch.equal(found.labels, arrays()[f"MaxConvexIoU/{case}/labels"])


def naive(priors: torch.Tensor, targets: Instances, scale: float, number: int) -> list[int]:
    """The rules of ConvexAssigner one gt and one place at a time."""
    levels = [int(np.log2(stride)) for stride in priors[:, 2].tolist()]
    nearest: dict[int, tuple[float, int]] = {}
    for gt, (x1, y1, x2, y2) in enumerate(targets.hboxes.double().tolist()):
        w, h = max(x2 - x1, 1e-6), max(y2 - y1, 1e-6)
        level = min(max(int((np.log2(w / scale) + np.log2(h / scale)) / 2), min(levels)), max(levels))
        if targets.ignored is not None and targets.ignored[gt]:
            continue
        distances = {
            i: np.hypot((x - (x1 + x2) / 2) / w, (y - (y1 + y2) / 2) / h)
            for i, (x, y, _) in enumerate(priors.tolist())
            if levels[i] == level
        }
        for i in sorted(distances, key=distances.__getitem__)[:number]:
            nearest[i] = min(nearest.get(i, (np.inf, 0)), (distances[i], gt))
    return [nearest[i][1] + 1 if i in nearest else 0 for i in range(len(priors))]


def quads(number: int, seed: int, size: float = 128, least: float = 2) -> torch.Tensor:
    draw = np.random.default_rng(seed)
    columns = [draw.uniform(0, size, (number, 2)), draw.uniform(least, 90, (number, 2)), draw.uniform(-2, 2, number)]
    return torch.from_numpy(geometry.rbox_to_quad(np.column_stack(columns)).astype(np.float32))


@pytest.mark.parametrize("number", [1, 3, 9])
def test_places_one_by_one(number: int) -> None:
    """Some gts share places; some are ignored; coarse levels have fewer places than a gt asks for."""
    own, boxes = places(16), quads(60, 0)
    ignored = torch.arange(60) % 7 == 0
    targets = Instances(boxes, "quad", torch.arange(60) % 5, ignored=ignored)
    found = ConvexAssigner(scale=4, pos_num=number).assign(own, targets)
    assert found.gt_inds.tolist() == naive(own, targets, 4, number)
    expected = torch.where(found.gt_inds > 0, targets.labels[(found.gt_inds - 1).clamp(min=0)], -1)
    assert torch.equal(found.labels, expected)


def test_equal_distances_go_to_the_first() -> None:
    own = torch.tensor([[0.0, 0, 8], [8, 0, 8], [0, 8, 8], [8, 8, 8]])
    box = torch.tensor([[0.0, 0, 8, 0, 8, 8, 0, 8]])
    targets = Instances(torch.cat([box, box]), "quad", torch.tensor([1, 2]))
    assert ConvexAssigner(pos_num=1).assign(own, targets).gt_inds.tolist() == [1, 0, 0, 0]


def test_places_that_may_not_be_used() -> None:
    own, targets = places(16), Instances(quads(9, 1), "quad", torch.zeros(9, dtype=torch.int64))
    usable = (own[:, 0] < 64) & (own[:, 2] < 100)
    found = assign_usable(ConvexAssigner(), own, usable, targets)
    assert torch.equal(found.gt_inds == -1, ~usable)
    assert found.gt_inds[usable].tolist() == naive(own[usable], targets, 4, 3)


def test_nothing_to_assign() -> None:
    none = Instances(torch.zeros(0, 8), "quad", torch.zeros(0, dtype=torch.int64))
    for assigner, own in ((ConvexAssigner(), places()), (MaxConvexIoUAssigner(0.4, 0.3), point_sets())):
        found = assigner.assign(own, none)
        assert (found.gt_inds == 0).all() and (found.labels == -1).all() and len(found.gt_inds) == len(own)
        assert len(assigner.assign(own[:0], objects()).gt_inds) == 0


def test_ignored_quads() -> None:
    """MMRotate's MaxConvexIoUAssigner fails with ignored objects."""
    own, boxes = point_sets(), arrays()["gt_q"]
    ignored = torch.arange(len(boxes)) >= 10
    targets = Instances(boxes, "quad", arrays()["labels"], ignored=ignored)
    found = MaxConvexIoUAssigner(0.4, 0.3, ignore_iof_thr=0.5).assign(own, targets)
    inside = (ConvexOverlaps()(own, boxes[10:], "iof") > 0.5).any(dim=1)
    assert inside.any() and (found.gt_inds[inside] == -1).all()
    assert 0 < found.gt_inds.max() <= 10


def test_shares_of_point_sets() -> None:
    own, boxes = quads(40, 3), quads(30, 4)
    share = ConvexOverlaps()(own, boxes, "iof")
    areas = area(own, "quad")
    iou, others = ConvexOverlaps()(own, boxes), area(boxes, "quad")
    common = iou * (areas[:, None] + others) / (1 + iou)
    torch.testing.assert_close(share, common / areas[:, None], rtol=1e-4, atol=1e-5)
