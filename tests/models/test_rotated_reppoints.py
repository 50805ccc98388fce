"""Rotated RepPoints' head: it finds objects, from quads too, and its gradients are those of its losses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from rotx import boxes as rotx_boxes
from rotx import geometry
from rotx.boxes import rbox2qbox, rectangle2rbox, regularize
from rotx.models import Batch, build_detector
from rotx.models.detectors import Detector, total_loss
from rotx.models.heads.maps import where_true
from rotx.models.heads.rotated_reppoints import RotatedRepPointsHead
from rotx.ops import min_area_rect
from rotx.records import Instances
from small import small_config, small_detector

NAME = "rotated_reppoints/rotated-reppoints-qbox_r50_fpn_1x_dota"
#: A parallelogram and a rectangle.
QUADS = torch.tensor([[14.0, 26, 44, 20, 52, 40, 22, 46], [58, 54, 76, 44, 88, 66, 70, 76]])
OBJECTS = Instances(QUADS, "quad", torch.tensor([0, 1]))


def changed(**settings: Any) -> dict[str, Any]:
    model = small_config(NAME)
    model["bbox_head"] |= settings
    return model


def picture() -> Tensor:
    y, x = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(96) + 0.5, indexing="ij")
    points = torch.stack([x, y], dim=-1).reshape(-1, 2).double().numpy()
    inside = torch.from_numpy(geometry.points_in_boxes(points, QUADS.double().numpy())).reshape(96, 96, 2)
    image = torch.full((3, 96, 96), 60, dtype=torch.uint8)
    for i in range(2):
        image[i][inside[..., i]] = 220
    return image


def test_it_learns_quads_and_finds_rectangles() -> None:
    torch.manual_seed(0)
    detector = build_detector(changed(candidate_form="standard"))
    detector.init_weights()
    batch = detector.data_preprocessor([picture()])
    optimizer = torch.optim.Adam(detector.parameters(), lr=1e-3)
    found = [0.0]
    for step in range(1, 151):
        optimizer.zero_grad()
        total_loss(detector.train()(batch, [OBJECTS])).backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 35)
        optimizer.step()
        if step % 10 == 0 and min(found := overlaps_of_best(detector, batch)) > 0.6:
            break
    assert min(found) > 0.6, found


def overlaps_of_best(detector: Detector, batch: Batch) -> list[float]:
    """IoU of the best detection of each class with its object; 0 if there is none."""
    (found,) = detector.eval().predict(batch)
    overlaps = geometry.box_iou(found.boxes.double().numpy(), OBJECTS.rboxes.double().numpy())
    return [float(overlaps[(found.labels == i).numpy(), i][:1].sum()) for i in range(2)]


def test_rectangles_hold_the_refined_points() -> None:
    torch.manual_seed(1)
    detector = small_detector(NAME).eval()
    detector.head.score_thr = 0.0
    torch.nn.init.normal_(detector.head.reppoints_pts_refine_out.bias)
    batch = detector.data_preprocessor([picture()])
    with torch.no_grad():
        raw = detector.network(batch.images)
        candidates = detector.decode(raw, batch)
    assert candidates.kind == detector.box_kind == "rbox"
    assert torch.equal(candidates.boxes[0], regularize(candidates.boxes[0], "le90"))
    # Of the coarsest level all pairs of place and class are candidates: of each place a box.
    offsets = raw[1][-1][0].reshape(9, 2, -1)
    for i in range(offsets.shape[2]):
        points = (
            offsets[:, :, i].flip(1) * 128 + torch.tensor([i % raw[1][-1].shape[3], i // raw[1][-1].shape[3]]) * 128
        )
        (box,) = rectangle2rbox(min_area_rect(points.reshape(1, 18)))
        assert (candidates.boxes[0] - regularize(box, "le90")).abs().amax(dim=1).min() < 1e-2
        grown = box.double() + torch.tensor([0, 0, 1e-2, 1e-2, 0])
        assert geometry.points_in_boxes(points.double().numpy(), grown[None].numpy()).all()


def test_rectangle_as_rbox() -> None:
    rboxes = torch.rand(50, 5, dtype=torch.float64) * torch.tensor([90, 90, 40, 40, 1.0]) + 0.1
    quads = rotx_boxes.convert(rboxes, "rbox", "quad")
    torch.testing.assert_close(rectangle2rbox(quads), rboxes)
    torch.testing.assert_close(torch.from_numpy(rectangle2rbox(quads.numpy())), rboxes)
    around = rotx_boxes.qbox2rbox(rbox2qbox(rboxes))
    torch.testing.assert_close(regularize(rectangle2rbox(rbox2qbox(rboxes)), "le90"), around)
    assert torch.autograd.gradcheck(rectangle2rbox, quads.requires_grad_())


def outputs(seed: int = 0) -> tuple[Any, Any, list[Tensor]]:
    """A detector, a batch, and raw outputs with points in some disorder, as leaves."""
    torch.manual_seed(seed)
    detector = small_detector(NAME)
    batch = detector.data_preprocessor([picture(), picture()])
    raw = [[x.detach() for x in levels] for levels in detector.network(batch.images)]
    raw[1:] = [[x + torch.randn_like(x) for x in levels] for levels in raw[1:]]
    return detector, batch, raw


@pytest.mark.parametrize(("output", "name"), [(1, "loss_pts_refine"), (2, "loss_pts_init")])
def test_gradients_are_those_of_the_losses(output: int, name: str) -> None:
    """MMRotate's are not where one exceeds 1, and ignore what the loss is multiplied by."""
    detector, batch, raw = outputs()
    targets = [OBJECTS, Instances(QUADS * 0.2 + 40, "quad", OBJECTS.labels)]  # small ones have large gradients

    def loss(levels: list[Tensor]) -> Tensor:
        maps = [levels if i == output else others for i, others in enumerate(raw)]
        terms: list[Tensor] = detector.losses(tuple(maps), targets, batch)[name]
        return torch.stack(terms).sum()

    leaves = [x.clone().requires_grad_() for x in raw[output]]
    gradients = torch.autograd.grad(loss(leaves), leaves)
    for one, thousand in zip(gradients, torch.autograd.grad(1000 * loss(leaves), leaves), strict=True):
        torch.testing.assert_close(thousand, 1000 * one, rtol=1e-5, atol=1e-5)
    length = torch.stack([g.norm() for g in gradients]).norm()
    assert length > 0
    step = 1e-3 / length
    with torch.no_grad():
        ahead, behind = (
            loss([x + sign * step * g for x, g in zip(raw[output], gradients, strict=True)]) for sign in (1, -1)
        )
    # Along the gradient the loss grows by its square.
    torch.testing.assert_close((ahead - behind) / (2 * step), length**2, rtol=1e-2, atol=0)


def test_which_points_the_second_stage_is_assigned_by() -> None:
    """MMRotate exchanges x and y of the offsets; about a diagonal that changes nothing."""
    detector, batch, raw = outputs()
    seen: list[Tensor] = []

    class Watching:
        def assign(self, priors: Tensor, targets: Instances, predictions: object = None) -> Any:
            seen.append(priors)
            return detector.head.init_assigner.assign(torch.zeros(len(priors), 3), targets)

    detector.head.refine_assigner = Watching()
    for form in ("mmrotate", "standard"):
        detector.head.candidate_form = form
        detector.losses(tuple(raw), [OBJECTS, OBJECTS], batch)
    theirs, ours = seen[0].reshape(-1, 9, 2), seen[2].reshape(-1, 9, 2)
    places = torch.cat(detector.head.points.grid_priors([x.shape[-2:] for x in raw[0]]))[:, None]
    torch.testing.assert_close((theirs - places).flip(2), ours - places, rtol=0, atol=1e-3)
    first = raw[2][0][0].permute(1, 2, 0).reshape(-1, 9, 2)
    torch.testing.assert_close(ours[: len(first)], first.flip(2) * 8 + places[: len(first)], rtol=0, atol=1e-3)


def test_an_image_without_objects_is_background() -> None:
    detector, batch, raw = outputs()
    losses = detector.losses(tuple(raw), [OBJECTS[:0]] * 2, batch)
    assert all(float(x) > 0 for x in losses["loss_cls"])
    assert all(float(x) == 0 for name in ("loss_pts_init", "loss_pts_refine") for x in losses[name])


def test_where_true() -> None:
    masks = [torch.tensor(x, dtype=torch.bool) for x in ([0, 1, 1], [], [0, 0], [1])]
    assert [at.tolist() for at in where_true(masks)] == [[1, 2], [], [], [0]]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"num_points": 8}, r"num_points: need the square of an odd number, got 8"),
        ({"num_points": 16}, r"num_points: need the square of an odd number, got 16"),
        ({"candidate_form": "mmdet"}, r"candidate_form: need 'mmrotate' or 'standard', got 'mmdet'"),
    ],
)
def test_errors(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build_detector(changed(**settings))


def test_other_numbers_of_points() -> None:
    detector = build_detector(changed(num_points=25))
    assert isinstance(detector.head, RotatedRepPointsHead)
    batch = detector.data_preprocessor([picture()])
    assert total_loss(detector.train()(batch, [OBJECTS])).isfinite()
    assert len(detector.eval().predict(batch)) == 1
