"""Every detector: it builds, learns, and bears whatever images and objects come."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import rotx.models
from rotx.boxes import width
from rotx.compat import load_config
from rotx.models import Batch, build_detector
from rotx.models.detectors import SingleStage, TwoStage, total_loss
from rotx.models.heads.rotated_reppoints import RotatedRepPointsHead
from rotx.records import Bitmaps, BoxMasks, Instances, Masks
from small import CONFIGS, UPRIGHT, VARIANTS, small_detector

Detector = SingleStage | TwoStage

ALL_CONFIGS = sorted(str(p.relative_to(CONFIGS)) for p in CONFIGS.rglob("*.py") if "_base_" not in p.parts)
BOXES = torch.tensor([[30.0, 34.0, 40.0, 16.0, 0.5], [70.0, 60.0, 30.0, 24.0, -0.9], [60.0, 20.0, 12.0, 8.0, 1.2]])
LABELS = torch.tensor([0, 1, 2])


@pytest.fixture(scope="module", params=VARIANTS + UPRIGHT, ids=lambda name: Path(name).name)
def detector(request: pytest.FixtureRequest) -> Detector:
    torch.manual_seed(0)
    return small_detector(request.param)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(1)


def images(*sizes: tuple[int, int]) -> list[Tensor]:
    return [torch.randint(0, 256, (3, h, w), dtype=torch.uint8) for h, w in sizes]


def learnable(detector: Detector, batch: Batch, targets: list[Instances]) -> list[Instances]:
    """The objects, with masks if the detector learns these: the boxes themselves."""
    if getattr(detector.head, "mask_head", None) is None:
        return targets
    masks = [Masks([[quad] for quad in target.numpy().quads.astype(np.float64)]) for target in targets]
    sizes = zip(targets, masks, batch.sizes, strict=True)
    return [replace(target, masks=Bitmaps(own.bitmaps(*size))).to("cpu") for target, own, size in sizes]


def step(detector: Detector, batch: Batch, targets: list[Instances]) -> dict[str, Any]:
    """One step of training; checks losses and gradients."""
    detector.train()
    detector.zero_grad(set_to_none=True)
    losses = detector(batch, learnable(detector, batch, targets))
    total = total_loss(losses)
    assert total.isfinite(), losses
    total.backward()  # type: ignore[no-untyped-call]
    for name, value in detector.named_parameters():
        assert value.grad is not None, f"{name}: without gradient"
        assert value.grad.isfinite().all(), name
    return dict(losses)


def detections_are_sound(detector: Detector, batch: Batch) -> None:
    detector.eval()
    found = detector.predict(batch)
    assert len(found) == len(batch.sizes)
    for image in found:
        assert image.kind == detector.box_kind
        assert image.boxes.shape == (len(image), width(image.kind)) and image.labels.shape == image.scores.shape == (
            len(image),
        )
        assert image.boxes.isfinite().all() and ((image.scores >= 0) & (image.scores <= 1)).all()
        assert (image.scores.diff() <= 0).all()
        if getattr(detector.head, "mask_head", None) is not None:
            assert isinstance(image.masks, BoxMasks)
            assert ((image.masks.grids >= 0) & (image.masks.grids <= 1)).all()


@pytest.mark.parametrize("name", ALL_CONFIGS)
def test_every_config_builds(name: str) -> None:
    with torch.device("meta"):
        detector = build_detector(load_config(CONFIGS / name)["model"])
    assert sum(p.numel() for p in detector.parameters()) > 3 * 10**6


def test_gradients_reach_every_parameter(detector: Detector) -> None:
    batch = detector.data_preprocessor(images((96, 96), (96, 96)))
    losses = step(detector, batch, [Instances(BOXES, "rbox", LABELS), Instances(BOXES[:1], "rbox", LABELS[:1])])
    boxes = [
        term for name, term in losses.items() if name.startswith(("loss_bbox", "loss_pts")) or ".loss_bbox" in name
    ]
    assert sum(float(sum_of(term).detach()) for term in boxes) > 0
    detections_are_sound(detector, batch)


def sum_of(term: Tensor | list[Tensor]) -> Tensor:
    return torch.stack([value.mean() for value in ([term] if isinstance(term, Tensor) else term)]).sum()


@pytest.mark.parametrize("count", [0, 1])
def test_few_objects(detector: Detector, count: int) -> None:
    batch = detector.data_preprocessor(images((96, 96)))
    step(detector, batch, [Instances(BOXES[:count], "rbox", LABELS[:count])])


def test_one_image_without_objects(detector: Detector) -> None:
    batch = detector.data_preprocessor(images((96, 96), (96, 96)))
    step(detector, batch, [Instances(BOXES, "rbox", LABELS), Instances(BOXES[:0], "rbox", LABELS[:0])])


def test_many_objects(detector: Detector) -> None:
    boxes = torch.rand(2000, 5) * torch.tensor([320.0, 320.0, 30.0, 10.0, 3.0]) + torch.tensor([0, 0, 1.0, 1.0, -1.5])
    batch = detector.data_preprocessor(images((320, 320)))
    step(detector, batch, [Instances(boxes, "rbox", torch.randint(0, 3, (2000,)))])


@pytest.mark.parametrize("size", [(33, 77), (1, 1), (20, 300)])
def test_any_size(detector: Detector, size: tuple[int, int]) -> None:
    batch = detector.data_preprocessor(images(size, size))
    step(detector, batch, [Instances(BOXES, "rbox", LABELS)] * 2)
    detections_are_sound(detector, batch)


def test_unequal_sizes(detector: Detector) -> None:
    batch = detector.data_preprocessor(images((96, 64), (50, 130)))
    assert batch.images.shape[2:] == (96, 160) and batch.sizes == [(96, 64), (50, 130)]
    step(detector, batch, [Instances(BOXES, "rbox", LABELS), Instances(BOXES[1:], "rbox", LABELS[1:])])
    detections_are_sound(detector, batch)


def test_all_ignored(detector: Detector) -> None:
    batch = detector.data_preprocessor(images((96, 96)))
    step(detector, batch, [Instances(BOXES, "rbox", LABELS, ignored=torch.ones(3, dtype=torch.bool))])


def test_objects_out_of_the_image_and_without_size(detector: Detector) -> None:
    odd = torch.tensor([[-50.0, 40.0, 20.0, 10.0, 0.0], [30.0, 34.0, 0.0, 0.0, 0.3], [40.0, 40.0, 4000.0, 1e-3, 1.0]])
    batch = detector.data_preprocessor(images((96, 96)))
    step(detector, batch, [Instances(odd, "rbox", LABELS)])


def test_same_image_alone_and_in_a_batch(detector: Detector) -> None:
    first, second = images((96, 96), (96, 96))
    detector.eval()
    alone = detector.predict(detector.data_preprocessor([first]))[0]
    both = detector.predict(detector.data_preprocessor([first, second]))[0]
    torch.testing.assert_close(alone.scores, both.scores, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", VARIANTS + UPRIGHT, ids=lambda name: Path(name).name)
def test_overfits_one_image(name: str) -> None:
    torch.manual_seed(2)
    detector = small_detector(name)
    pixels = torch.full((3, 96, 96), 60, dtype=torch.uint8)
    pixels[0, 20:50, 12:48] = 220
    pixels[1, 45:75, 58:84] = 220
    batch = detector.data_preprocessor([pixels])
    targets = learnable(detector, batch, [Instances(BOXES[:2], "rbox", LABELS[:2])])
    optimizer = torch.optim.Adam(detector.parameters(), lr=1e-3)
    schedule = torch.optim.lr_scheduler.ExponentialLR(optimizer, 0.99)
    totals, floors, learned = [], [], False
    detector.train()
    for _ in range(300):
        optimizer.zero_grad()
        losses = detector(batch, targets)
        total = total_loss(losses)
        total.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 35)
        optimizer.step()
        schedule.step()
        # Two losses cannot come to 0: KFIoU's, and that of the centerness, whose targets lie between 0 and 1.
        floor = [term for key, term in losses.items() if "centerness" in key or ("kfiou" in name and "bbox" in key)]
        floors.append(float(sum(sum_of(term).detach() for term in floor)))
        totals.append(float(total.detach()) - floors[-1])
        # A RoI head's floor rises with the RoIs that come to lie on objects.
        learned = totals[-1] < 0.1 * totals[0] and (floors[-1] <= floors[0] or isinstance(detector, TwoStage))
        if learned:
            break
    assert learned


def test_autocast(detector: Detector) -> None:
    batch = detector.data_preprocessor(images((96, 96)))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        step(detector, batch, [Instances(BOXES, "rbox", LABELS)])
        detections_are_sound(detector, batch)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_any_precision(detector: Detector, dtype: torch.dtype) -> None:
    other = copy.deepcopy(detector).to(dtype)
    batch = other.data_preprocessor(images((96, 96)))
    assert batch.images.dtype == dtype
    step(other, batch, [Instances(BOXES.to(dtype), "rbox", LABELS)])
    detections_are_sound(other, batch)


def test_large_boxes_in_half_precision() -> None:
    """Their areas, in square pixels, are beyond the range of float16."""
    head = small_detector("rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota").bbox_head
    boxes = torch.tensor([[400.0, 400.0, 512.0, 384.0, 0.5]])
    levels = head.points.grid_priors([(100 // 2**i, 100 // 2**i) for i in range(5)])
    targets = [head.point_targets(levels, Instances(x, "rbox", LABELS[:1])) for x in (boxes, boxes.half())]
    assert torch.equal(targets[0].labels, targets[1].labels) and (targets[0].labels == 0).any()


def test_a_copy_is_its_own(detector: Detector) -> None:
    """Copied for a moving average, pickled for another process."""
    batch = detector.data_preprocessor(images((96, 96)))
    targets = learnable(detector, batch, [Instances(BOXES, "rbox", LABELS)])

    def loss(of: Detector) -> float:
        torch.manual_seed(3)
        return float(total_loss(of.train()(batch, targets)).detach())

    expected = loss(detector)
    others = [copy.deepcopy(detector), pickle.loads(pickle.dumps(detector))]
    assert [loss(other) for other in others] == [expected] * 2
    for value in others[0].parameters():
        torch.nn.init.constant_(value, torch.nan)
    assert loss(detector) == expected
    assert all(len(found) == 0 for found in others[0].eval().predict(batch)), "a diverged model finds nothing"


@pytest.mark.parametrize(
    ("name", "columns"),
    [
        ("rotated_faster_rcnn/rotated-faster-rcnn-le90_r50_fpn_1x_dota", 4),
        ("oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota", 5),
        ("roi_trans/roi-trans-le90_r50_fpn_1x_dota", 4),
    ],
)
def test_no_proposal_is_left(name: str, columns: int) -> None:
    """The shape of the boxes stays: MMRotate's OrientedRPNHead returns (0, 4) for rboxes."""
    detector = small_detector(name)
    assert isinstance(detector, TwoStage)
    rpn: Any = detector.rpn_head
    rpn.test_proposals.min_bbox_size = rpn.train_proposals.min_bbox_size = 1e9
    batch = detector.data_preprocessor(images((96, 96)))
    with torch.no_grad():
        (proposals,) = rpn.suppress(rpn.decode(detector.network(batch.images).rpn, batch))
    assert proposals.boxes.shape == (0, columns)
    detections_are_sound(detector, batch)
    step(detector, batch, [Instances(BOXES, "rbox", LABELS)])


def test_wrong_targets_say_what() -> None:
    with pytest.raises(ValueError, match=r"instances\.boxes: need rbox boxes \(\.\.\., 5\), got shape \(3, 4\)"):
        Instances(BOXES[:, :4], "rbox", LABELS)
    with pytest.raises(ValueError, match=r"instances\.labels: need one for each of 3 boxes, got shape \(2,\)"):
        Instances(BOXES, "rbox", LABELS[:2])
    with pytest.raises(TypeError, match=r"instances\.labels: need int64, got torch\.int32"):
        Instances(BOXES, "rbox", LABELS.int())
    with pytest.raises(ValueError, match=r"instances\.ignored: need one for each of 3 boxes, got shape \(5,\)"):
        Instances(BOXES, "rbox", LABELS, ignored=BOXES[0])
    with pytest.raises(ValueError, match=r"one device, got boxes on cpu, labels on meta"):
        Instances(BOXES, "rbox", LABELS.to("meta"))


def test_old_names_of_targets_and_detections() -> None:
    with pytest.warns(DeprecationWarning, match=r"rotx\.models\.Targets is deprecated .*use rotx\.records\.Instances"):
        old = rotx.models.Targets(BOXES[:1], LABELS[:1], ignored=BOXES[1:])
    assert torch.equal(old.boxes, BOXES) and old.ignored.tolist() == [False, True, True] and old.kind == "rbox"
    with pytest.warns(DeprecationWarning, match=r"rotx\.models\.Detections"):
        found = rotx.models.Detections(BOXES, torch.rand(3), LABELS)
    assert len(found) == 3 and torch.equal(found.labels, LABELS)


def test_the_old_way_to_call_a_loss(detector: Detector) -> None:
    batch = detector.data_preprocessor(images((96, 96)))
    targets = learnable(detector, batch, [Instances(BOXES, "rbox", LABELS)])
    torch.manual_seed(0)
    expected = total_loss(detector(batch, targets))
    torch.manual_seed(0)
    with pytest.warns(DeprecationWarning, match=r"detector\(batch, targets\)"):
        assert torch.equal(total_loss(detector.loss(batch, targets)), expected)


def test_candidates_are_as_many_whatever_the_images_hold(detector: Detector) -> None:
    """What an export needs: shapes depend on sizes and settings alone."""
    detector.eval()
    shapes = set()
    for pixels in (torch.zeros(3, 96, 96), *images((96, 96), (96, 96))):
        batch = detector.data_preprocessor([pixels])
        with torch.no_grad():
            candidates = detector.decode(detector.network(batch.images), batch)
        shapes.add((candidates.boxes.shape, candidates.scores.shape, candidates.labels.shape))
        assert candidates.kind == detector.box_kind
    assert len(shapes) == 1


def test_properties(detector: Detector) -> None:
    assert detector.num_classes == 3
    if detector.box_kind == "hbox":
        assert detector.nms_iou == 0.5 and detector.angle_version is None
    else:
        points = isinstance(detector.head, RotatedRepPointsHead)
        assert detector.box_kind == "rbox" and detector.nms_iou == (0.4 if points else 0.1)
        assert detector.target_kind == ("quad" if points else "rbox")
        assert detector.angle_version in ("le90", "le135", "oc")
