"""A step of training and a prediction of each family of detectors: on the GPU what they are on the CPU."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="detectors need torch")

from rotx.models.detectors import SingleStage, TwoStage, total_loss  # noqa: E402
from rotx.models.samplers.random_sampler import RandomSampler  # noqa: E402
from rotx.records import Instances  # noqa: E402
from small import VARIANTS, small_detector  # noqa: E402
from test_detectors import BOXES, LABELS, images  # noqa: E402

pytestmark = pytest.mark.gpu
#: One of each family, and of each kind of loss.
NAMES = [name for name in VARIANTS if "1x" in name and not any(part in name for part in ("le135", "csl", "hbox-le90"))]


@pytest.fixture(params=NAMES, ids=lambda name: Path(name).name)
def detector(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> SingleStage | TwoStage:
    """In float64, so that nothing is decided by rounding; samples are not drawn, but the first ones."""
    torch.manual_seed(0)
    monkeypatch.setattr(
        RandomSampler, "_random", lambda self, number, device, _: 1 - torch.arange(number, device=device) / (number + 1)
    )
    return small_detector(request.param).double()


def test_a_step_and_a_prediction(detector: SingleStage | TwoStage, device: torch.device) -> None:
    torch.manual_seed(1)
    pictures = images((96, 128), (96, 128))
    targets = [Instances(BOXES, "rbox", LABELS), Instances(BOXES[:1], "rbox", LABELS[:1])]
    runs = []
    for where in (torch.device("cpu"), device):
        model = copy.deepcopy(detector).to(where).train()
        batch = model.data_preprocessor([picture.to(where) for picture in pictures])
        total = total_loss(model(batch, [target.to(where) for target in targets]))
        total.backward()
        grads = {name: value.grad.cpu() for name, value in model.named_parameters()}
        with torch.no_grad():
            found = model.eval().predict(batch)
        assert all(image.boxes.device.type == where.type for image in found)
        runs.append((total.detach().cpu(), grads, found))
    (total, grads, found), (total_there, grads_there, found_there) = runs
    torch.testing.assert_close(total_there, total, rtol=1e-4, atol=1e-6)
    for name, grad in grads.items():
        bound = 1e-3 * grad.abs().max().item() + 1e-6
        torch.testing.assert_close(
            grads_there[name], grad, rtol=1e-3, atol=bound, msg=lambda text, n=name: f"{n}: {text}"
        )
    for image, there in zip(found, found_there, strict=True):
        torch.testing.assert_close(there.scores.cpu(), image.scores, rtol=1e-3, atol=1e-4)
        assert len(there) == len(image)
