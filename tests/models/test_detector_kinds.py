"""The kinds of detectors that no config has yet: each learns, predicts, and hears the whole of its protocol."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from rotx import geometry
from rotx.models.detectors import Detector, total_loss
from rotx.records import Instances
from toy_kinds import query_detector, refine_detector, views_detector

BOXES = torch.tensor([[30.0, 34.0, 36.0, 16.0, 0.5], [66.0, 60.0, 30.0, 24.0, -0.9]])
OBJECTS = Instances(BOXES, "rbox", torch.tensor([0, 1]))
KINDS = {"refine": refine_detector, "views": views_detector, "query": query_detector}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def detector(request: pytest.FixtureRequest) -> Detector:
    torch.manual_seed(0)
    make: Callable[[], Detector] = request.param
    made = make()
    made.init_weights()
    return made


def picture() -> Tensor:
    y, x = torch.meshgrid(torch.arange(96) + 0.5, torch.arange(96) + 0.5, indexing="ij")
    points = torch.stack([x, y], dim=-1).reshape(-1, 2).double().numpy()
    inside = torch.from_numpy(geometry.points_in_boxes(points, BOXES.double().numpy())).reshape(96, 96, 2)
    image = torch.full((3, 96, 96), 60, dtype=torch.uint8)
    for i in range(2):
        image[i][inside[..., i]] = 220
    return image


def test_it_learns_and_predicts(detector: Detector) -> None:
    batch = detector.data_preprocessor([picture()])
    optimizer = torch.optim.Adam(detector.parameters(), lr=1e-3)
    totals = []
    detector.train()
    for _ in range(200):
        optimizer.zero_grad()
        total = total_loss(detector(batch, [OBJECTS]))
        total.backward()  # type: ignore[no-untyped-call]
        assert all(p.grad is not None and p.grad.isfinite().all() for p in detector.parameters())
        torch.nn.utils.clip_grad_norm_(detector.parameters(), 35)
        optimizer.step()
        totals.append(float(total.detach()))
        if totals[-1] < 0.05 * totals[0]:
            break
    assert totals[-1] < 0.1 * totals[0]
    (found,) = detector.eval().predict(batch)
    overlaps = geometry.box_iou(found.boxes[:2].double().numpy(), BOXES.double().numpy())
    assert sorted(found.labels[:2].tolist()) == [0, 1]
    assert (overlaps[found.labels[:2].argsort()].diagonal() > 0.6).all()


def test_images_without_objects_and_of_unequal_sizes(detector: Detector) -> None:
    batch = detector.data_preprocessor([torch.zeros(3, 96, 64), torch.zeros(3, 50, 130)])
    total = total_loss(detector.train()(batch, [OBJECTS[:0], OBJECTS]))
    total.backward()  # type: ignore[no-untyped-call]
    assert total.isfinite() and all(p.grad is not None for p in detector.parameters())
    assert len(detector.eval().predict(batch)) == 2
    assert detector.num_classes == 3 and detector.box_kind == "rbox" and detector.angle_version == "le90"


def test_the_names_of_the_losses_of_refining_heads() -> None:
    detector = refine_detector()
    losses = detector(detector.data_preprocessor([picture()]), [OBJECTS])
    names = {"loss_cls_init", "loss_bbox_init"}
    assert set(losses) == names | {f"loss_{x}_refine_{i}" for x in ("cls", "bbox") for i in range(2)}
    assert {"bbox_head_init.retina_cls.weight", "bbox_head_refine.1.retina_reg.weight"} <= set(detector.state_dict())


def test_refined_boxes_are_the_next_heads_priors() -> None:
    torch.manual_seed(0)
    detector = refine_detector()
    batch = detector.data_preprocessor([picture(), picture().flip(2)])
    stages = detector.network(batch.images)
    assert stages[0].priors is None and [len(stages), len(stages[1].priors)] == [3, 2]
    for level, priors in enumerate(stages[1].priors):
        assert priors.shape == (2, (12 // 2**level) ** 2, 5) and not priors.requires_grad
        assert not torch.equal(priors[0], priors[1]), "each image has its own"
        # The anchor with the best class at each place, decoded.
        head = detector.bbox_head_init
        logits, deltas = (x[level][1].permute(1, 2, 0).reshape(len(priors[1]), 2, -1) for x in stages[0].maps)
        best = logits.amax(2).argmax(1)
        rows = torch.arange(len(best))
        anchors = head.anchor_generator.grid_priors([(12, 12), (6, 6)])[level].reshape(-1, 2, 5)[rows, best]
        torch.testing.assert_close(priors[1], head.bbox_coder.decode(anchors, deltas[rows, best]))


def test_weights_of_stages() -> None:
    torch.manual_seed(0)
    detector = refine_detector()
    batch = detector.data_preprocessor([picture()])
    one = detector(batch, [OBJECTS])
    detector.stage_loss_weights = [3.0, 0.5]
    other = detector(batch, [OBJECTS])
    torch.testing.assert_close(torch.stack(other["loss_cls_refine_0"]), 3 * torch.stack(one["loss_cls_refine_0"]))
    torch.testing.assert_close(torch.stack(other["loss_cls_init"]), torch.stack(one["loss_cls_init"]))
    with pytest.raises(ValueError, match="stage_loss_weights: need one weight per refining head"):
        refine_detector(stages=0)


def test_all_views_go_through_the_network_at_once() -> None:
    detector = views_detector().train()
    seen = []
    detector.backbone.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    batch = detector.data_preprocessor([picture(), picture()])
    losses = detector(batch, [OBJECTS, OBJECTS])
    assert [tuple(shape) for shape in seen] == [(4, 3, 96, 96)]
    assert len(losses["loss_consistency"]) == 2
    # Of a single view, each image as it is, nothing must agree.
    alone = detector.loss(detector.network(batch.images), [OBJECTS, OBJECTS], batch)
    assert alone["loss_consistency"] == [] and len(alone["loss_cls"]) == 2


def test_queries_do_not_see_padding() -> None:
    torch.manual_seed(0)
    detector = query_detector().eval()
    small = torch.randint(0, 256, (3, 64, 64), dtype=torch.uint8)
    alone = detector.outputs(detector.data_preprocessor([small]))
    batch = detector.data_preprocessor([small, torch.zeros(3, 64, 96, dtype=torch.uint8)])
    noisy = batch.images.clone()
    noisy[0, :, :, 64:] = 9
    without = detector.network(batch.images)
    assert not torch.allclose(detector.network(noisy)[0][0], without[0][0])
    masked = detector.outputs(batch)
    assert masked[0].shape[1] == alone[0].shape[1] == 5
    assert not torch.allclose(masked[0][0], without[0][0]), "padding is left out"
