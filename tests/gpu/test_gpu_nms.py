"""Suppression on the GPU: the list of the CPU op, for every kind of scene and for a million boxes."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import test_nms as nms_tests
from benches.dota_like import scene_of
from conftest import GOLDENS

torch = pytest.importorskip("torch", reason="rotx.ops needs torch")

from rotx import ops  # noqa: E402

pytestmark = pytest.mark.gpu
Number = Callable[[int], int]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("kind", nms_tests.KINDS)
def test_the_list_is_that_of_the_cpu(kind: str, dtype: torch.dtype, device: torch.device, many: Number) -> None:
    rng = np.random.default_rng(nms_tests.KINDS.index(kind))
    for n in (0, 1, 2, 33, 150, many(5000)):
        boxes = torch.from_numpy(nms_tests.scene(kind, n, rng)).to(dtype)
        ties = rng.choice([0.25, 0.5, 0, -0.0, np.nan, np.inf, -1], n)
        labels = torch.from_numpy(rng.choice([0, 1, 2, -5, 2**62], n))
        for scores in (torch.from_numpy(rng.random(n)), torch.from_numpy(ties).to(dtype)):
            for threshold in (0.0, 0.1, 0.5, 1.0):
                args = boxes, scores, threshold
                found = ops.nms_rotated(boxes.to(device), scores.to(device), threshold)
                assert found.device.type == device.type
                assert torch.equal(found.cpu(), ops.nms_rotated(*args))
                found = ops.batched_nms_rotated(boxes.to(device), scores.to(device), labels.to(device), threshold)
                assert torch.equal(found.cpu(), ops.batched_nms_rotated(boxes, scores, labels, threshold))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("number", [2_000, 20_000, 200_000, 1_000_000])
def test_scenes_as_dense_as_dota(number: int, dtype: torch.dtype, device: torch.device, many: Number) -> None:
    boxes, scores, source = (torch.from_numpy(v) for v in scene_of(np.random.default_rng(5), many(number)))
    boxes, scores, labels = boxes.to(dtype), scores.to(dtype), source % 15
    found = ops.nms_rotated(boxes.to(device), scores.to(device), 0.1)
    assert torch.equal(found.cpu(), ops.nms_rotated(boxes, scores, 0.1))
    found = ops.batched_nms_rotated(boxes.to(device), scores.to(device), labels.to(device), 0.5)
    assert torch.equal(found.cpu(), ops.batched_nms_rotated(boxes, scores, labels, 0.5))


@pytest.mark.parametrize("scene", ["sparse", "dense"])
def test_goldens(scene: str, device: torch.device) -> None:
    with np.load(GOLDENS / "ops/nms_rotated.npz") as file:
        boxes, scores, labels = (
            torch.from_numpy(file[f"{scene}/{k}"]).to(device) for k in ("boxes", "scores", "labels")
        )
        for threshold in (0.1, 0.5):
            keep = ops.nms_rotated(boxes, scores, threshold)
            assert keep.tolist() == file[f"{scene}/keep_{threshold}"].tolist()
            keep = ops.batched_nms_rotated(boxes, scores, labels, threshold)
            assert keep.tolist() == file[f"{scene}/batched_keep_{threshold}"].tolist()


def test_a_chain_in_which_each_waits_for_the_one_before(device: torch.device, many: Number) -> None:
    number = many(20_000)
    row = torch.zeros(number, 5)
    row[:, 0], row[:, 2], row[:, 3] = torch.arange(number) * 6, 10, 4
    found = ops.nms_rotated(row.to(device), -torch.arange(float(number), device=device), 0.1)
    assert torch.equal(found.cpu(), torch.arange(0, number, 2))


def test_all_boxes_in_one_place(device: torch.device, many: Number) -> None:
    number = many(50_000)
    boxes = torch.tensor([[50.0, 50, 30, 20, 0.3]], device=device).repeat(number, 1)
    assert ops.nms_rotated(boxes, torch.ones(number, device=device), 0.5).tolist() == [0]
    far = boxes + torch.arange(number, device=device)[:, None] * torch.tensor([100.0, 0, 0, 0, 0], device=device)
    assert len(ops.nms_rotated(far, torch.ones(number, device=device), 0.5)) == number
