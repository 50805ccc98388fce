"""MaxIoUAssigner and the overlaps it compares by: equal to MMDetection's and MMRotate's, and bounded in memory."""

import json
from functools import cache

import numpy as np
import pytest

from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="models need torch")

from rotx import geometry  # noqa: E402
from rotx.boxes import hbox2rbox, rbox2hbox  # noqa: E402
from rotx.models.assigners import max_iou, overlaps  # noqa: E402
from rotx.models.assigners.max_iou import MaxIoUAssigner  # noqa: E402
from rotx.models.priors.rotated_anchors import FakeRotatedAnchorGenerator  # noqa: E402
from rotx.records import Instances  # noqa: E402

OPS = GOLDENS / "ops"
SETTINGS = ["0.5_0.4_0_-1", "0.7_0.3_0.3_0.5", "0.5_0.4_0_0.5_False_False", "0.5_0.5_0.5_False"]
CASES = [
    f"MaxIoU/{kind}/{setting}{end}"
    for kind in ("RBboxOverlaps2D", "FakeRBboxOverlaps2D")
    for setting in SETTINGS
    for end in ("", "/noignore")
]


@cache
def arrays() -> dict[str, torch.Tensor]:
    with np.load(OPS / "assigners.npz") as file:
        return {key: torch.from_numpy(value) for key, value in file.items()}


@cache
def anchors() -> torch.Tensor:
    generator = FakeRotatedAnchorGenerator(
        angle_version="oc",
        octave_base_scale=4,
        scales_per_octave=3,
        ratios=[1.0, 0.5, 2.0],
        strides=[8, 16, 32, 64, 128],
    )
    return torch.cat(generator.grid_priors([(n, n) for n in (32, 16, 8, 4, 2)]))


def objects(gts: torch.Tensor, labels: torch.Tensor, ignored: torch.Tensor | None = None) -> Instances:
    """Gts, rboxes or hboxes, and behind them the ignored boxes."""
    kind = "rbox" if gts.shape[1] == 5 else "hbox"
    if ignored is None:
        return Instances(gts, kind, labels.long())
    mask = torch.arange(len(gts) + len(ignored)) >= len(gts)
    labels = torch.cat([labels.long(), torch.zeros(len(ignored), dtype=torch.int64)])
    return Instances(torch.cat([gts, ignored]), kind, labels, ignored=mask)


def random_rboxes(number: int, seed: int, size: float = 256) -> torch.Tensor:
    draw = np.random.default_rng(seed)
    columns = [draw.uniform(0, size, (number, 2)), draw.uniform(4, 90, (number, 2)), draw.uniform(-2, 2, (number, 1))]
    return torch.from_numpy(np.concatenate(columns, axis=1).astype(np.float32))


@pytest.mark.parametrize("pairs", [1 << 22, 5000])
@pytest.mark.parametrize("case", CASES)
def test_equals_mmrotate(case: str, pairs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(max_iou, "_PAIRS", pairs)
    values, about = arrays(), json.loads((OPS / "assigners.json").read_text())[case]
    calculator = getattr(overlaps, case.split("/")[1])()
    ignored = values["ignored"] if about.get("with_ignore") else None
    result = MaxIoUAssigner(**about["cfg"], iou_calculator=calculator).assign(
        anchors(), objects(values["gt"], values["labels"], ignored)
    )
    torch.testing.assert_close(result.max_overlaps, values[f"{case}/max_overlaps"], rtol=0, atol=1e-6)
    differ = result.gt_inds != values[f"{case}/gt_inds"]
    # mmcv computes the IoU of two horizontal boxes by way of rotated ones: of priors that overlap a gt equally,
    # rounding makes one the best. With a prior more, of equal overlap, nothing else may differ.
    assert differ.sum() <= (2 if case == "MaxIoU/FakeRBboxOverlaps2D/0.7_0.3_0.3_0.5" else 0)
    for prior in differ.nonzero().flatten():
        gt = result.gt_inds[prior] - 1
        best = values[f"{case}/max_overlaps"][values[f"{case}/gt_inds"] == gt + 1].amax()
        assert gt >= 0 and abs(calculator(anchors()[prior][None], values["gt"])[0, gt] - best) < 2e-7
    torch.testing.assert_close(result.labels[~differ], values[f"{case}/labels"][~differ].long())


def test_hboxes_around_gts_equal_mmrotate() -> None:
    values, case = arrays(), "MaxIoU/RBbox2HBboxOverlaps2D"
    assigner = MaxIoUAssigner(0.7, 0.3, 0.3, iou_calculator=overlaps.BboxOverlaps2D())
    result = assigner.assign(rbox2hbox(anchors()), objects(values["gt"], values["labels"]))
    for name in ("gt_inds", "max_overlaps", "labels"):
        expected = values[f"{case}/{name}"]
        torch.testing.assert_close(getattr(result, name), expected if expected.is_floating_point() else expected.long())


@pytest.mark.parametrize("mode", ["iou", "iof"])
def test_overlaps_are_true(mode: str) -> None:
    a, b = random_rboxes(200, 0), random_rboxes(90, 1)
    b[:9] = a[:9]  # equal boxes, where mmcv fails
    b[9:18, 2:4] = a[9:18, 2:4] / 3  # and boxes within others
    b[9:18, :2], b[9:18, 4] = a[9:18, :2], a[9:18, 4]
    pairs = {
        overlaps.RBboxOverlaps2D: (a, b, a, b),
        overlaps.FakeRBboxOverlaps2D: (a, b, hbox2rbox(rbox2hbox(a)), hbox2rbox(rbox2hbox(b))),
        overlaps.BboxOverlaps2D: (rbox2hbox(a), rbox2hbox(b), hbox2rbox(rbox2hbox(a)), hbox2rbox(rbox2hbox(b))),
    }
    for calculator, (first, second, rotated, others) in pairs.items():
        made = calculator()(first, second, mode)
        truth = torch.from_numpy(geometry.box_iou(rotated.double().numpy(), others.double().numpy(), mode))
        torch.testing.assert_close(made.double(), truth, rtol=0, atol=5e-6)
        assert made.dtype == torch.float32 and made.min() >= 0 and made.max() <= 1
        assert calculator()(first[:0], second, mode).shape == (0, 90)
        assert calculator()(first, second[:0], mode).shape == (200, 0)
        assert calculator()(first.half(), second.half(), mode).dtype == torch.float32


def test_boxes_without_area_overlap_nothing() -> None:
    flat = torch.tensor([[10.0, 10.0, 0.0, 0.0, 0.0], [10.0, 10.0, 5.0, 0.0, 0.0]])
    for calculator in (overlaps.RBboxOverlaps2D(), overlaps.FakeRBboxOverlaps2D()):
        assert (calculator(flat, flat) == 0).all()


@pytest.mark.parametrize("size", [(50.0, 20.0), (4000.0, 1.0), (2000.0, 1e-3), (1e-3, 1e-3)])
@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_rounding_as_mmcv_moves_no_iou_by_much(size: tuple[float, float], factor: float) -> None:
    """For 2000 x 0.001 px mmcv's own area is 10 % off."""
    inner = random_rboxes(300, 0, size=1000)
    inner[:, 2:4] = torch.tensor(size)
    outer = inner.clone()
    outer[:, 2:4] *= factor
    truth = torch.from_numpy(geometry.box_iou_aligned(inner.double().numpy(), outer.double().numpy()))
    calculator = overlaps.RBboxOverlaps2D()
    for a, b in ((inner, outer), (outer, inner)):
        made = calculator(a, b).diagonal().double()
        assert (made - truth).abs().max() < 1.1e-5 and made.max() <= 1


def naive(assigner: MaxIoUAssigner, priors: torch.Tensor, gts: torch.Tensor, ignored: torch.Tensor) -> list[int]:
    """The rules one prior and one gt at a time, on the whole matrix."""
    matrix = assigner.iou_calculator(priors, gts)
    if assigner.ignore_wrt_candidates:
        share = assigner.iou_calculator(priors, ignored, "iof").amax(1)
    else:
        share = assigner.iou_calculator(ignored, priors, "iof").amax(0)
    matrix[share > assigner.ignore_iof_thr] = -1
    result = []
    for row in matrix:
        best = int(row.argmax())
        negative = assigner.neg_iou_thr[0] <= row[best] < assigner.neg_iou_thr[1]
        result.append(best + 1 if row[best] >= assigner.pos_iou_thr else 0 if negative else -1)
    for gt, column in enumerate(matrix.T):
        if assigner.match_low_quality and column.max() > 0 and column.max() >= assigner.min_pos_iou:
            ties = (column == column.max()).nonzero().flatten().tolist()
            for prior in ties if assigner.gt_max_assign_all else ties[:1]:
                result[prior] = gt + 1
    return result


@pytest.mark.parametrize("kind", ["RBboxOverlaps2D", "FakeRBboxOverlaps2D"])
@pytest.mark.parametrize("all_ties", [True, False])
@pytest.mark.parametrize("pairs", [1 << 22, 300, 1])
@pytest.mark.parametrize("low", [0.4, (0.1, 0.4)])
def test_in_pieces_as_one_by_one(kind: str, all_ties: bool, pairs: int, low, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(max_iou, "_PAIRS", pairs)
    priors, gts, ignored = random_rboxes(80, 0), random_rboxes(25, 1), random_rboxes(3, 2)
    gts[20:, :2] = priors[:5, :2]
    gts[20:, 2:4] = 2  # small ones in the middle of priors
    priors[40:] = priors[:40]  # every overlap is tied
    gts[5] = gts[6] = priors[3]  # the last of equal gts gets the prior
    for wrt in (True, False):
        assigner = MaxIoUAssigner(0.5, low, 0.0, all_ties, 0.3, wrt, iou_calculator=getattr(overlaps, kind)())
        labels = torch.arange(25) % 7
        result = assigner.assign(priors, objects(gts, labels, ignored))
        assert result.gt_inds.tolist() == naive(assigner, priors, gts, ignored)
        expected = torch.where(result.gt_inds > 0, labels[(result.gt_inds - 1).clamp(min=0)], -1)
        assert torch.equal(result.labels, expected)
        assert (result.max_overlaps == -1).any()


def test_a_gt_that_overlaps_nothing_gets_nothing() -> None:
    """With min_pos_iou 0, MMDetection gives it every prior that it does not overlap."""
    priors = torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
    gts = torch.tensor([[0.0, 0.0, 9.0, 9.0], [500.0, 500.0, 510.0, 510.0], [5.0, 5.0, 5.0, 5.0]])
    result = MaxIoUAssigner(0.5, 0.4).assign(priors, objects(gts, torch.tensor([3, 4, 5])))
    assert result.gt_inds.tolist() == [1, 0] and result.labels.tolist() == [3, -1]


def test_nothing_to_assign() -> None:
    assigner = MaxIoUAssigner(0.5, 0.4, ignore_iof_thr=0.5)
    priors = torch.tensor([[0.0, 0.0, 10.0, 10.0], [20.0, 0.0, 30.0, 10.0]])
    labels = torch.zeros(0, dtype=torch.int64)
    none = assigner.assign(priors, objects(priors[:0], labels))
    assert none.gt_inds.tolist() == [0, 0] and none.max_overlaps.tolist() == [0, 0] and none.labels.tolist() == [-1, -1]
    # MMDetection trains priors in ignored regions as background where there are no gts.
    ignored = assigner.assign(priors, objects(priors[:0], labels, priors[1:]))
    assert ignored.gt_inds.tolist() == [0, -1] and ignored.max_overlaps.tolist() == [0, -1]
    empty = assigner.assign(priors[:0], objects(priors, torch.zeros(2, dtype=torch.int64), priors))
    assert [len(values) for values in empty] == [0, 0, 0]
    assert empty.gt_inds.dtype == torch.int64


@pytest.mark.slow
def test_many_gts_on_a_large_image() -> None:
    """2,000 gts on 200,000 anchors: 1.6 GB of overlaps in float32, of which a few MB are held at a time."""
    resource = pytest.importorskip("resource", reason="memory is measured on Unix")
    generator = FakeRotatedAnchorGenerator(
        angle_version="le90", octave_base_scale=4, scales_per_octave=3, ratios=[1.0, 0.5, 2.0], strides=[8, 16]
    )
    priors = torch.cat(generator.grid_priors([(133, 133), (67, 67)]))
    gts = random_rboxes(2000, 3, size=1064)
    assigner = MaxIoUAssigner(0.5, 0.4, iou_calculator=overlaps.FakeRBboxOverlaps2D())
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    result = assigner.assign(priors, objects(gts, torch.zeros(2000, dtype=torch.int64)))
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 600_000  # KiB
    assert len(result.gt_inds) == len(priors) > 199_000 and (result.gt_inds > 0).sum() > 2000


@pytest.mark.parametrize(
    ("calculator", "columns", "message"),
    [
        (overlaps.BboxOverlaps2D(), (4, 5), r"b: need hbox boxes \(\.\.\., 4\), got shape \(1, 5\)"),
        (overlaps.FakeRBboxOverlaps2D(), (4, 5), r"a: need rbox boxes \(\.\.\., 5\), got shape \(1, 4\)"),
        (overlaps.RBboxOverlaps2D(), (4, 5), r"a: need shape \(N, 5\), got \(1, 4\)"),
    ],
)
def test_errors(calculator, columns: tuple[int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calculator(torch.zeros(1, columns[0]), torch.zeros(1, columns[1]))
