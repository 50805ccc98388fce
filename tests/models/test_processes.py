"""Two processes with an image each train as one process with both: the same gradients."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from rotx.models import Batch, build_detector
from rotx.models.detectors import total_loss
from rotx.models.processes import mean_over_processes, sync_batch_norms
from rotx.records import Instances
from small import VARIANTS, small_config

#: By how much the gradients of a parameter may differ, as a share of their norm: losses are float32.
TOLERANCE = 1e-6
#: Losses that take the mean over the positives of their own process in MMRotate's form, the default.
OWN_MEAN_LOSSES = ("GDLoss_v1", "ConvexGIoULoss")
OWN_MEAN = [name for name in VARIANTS if name.endswith("_kld_1x_dota") or name.startswith("rotated_reppoints/")]
#: One of each kind of head.
FAMILIES = [
    "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota",
    "csl/rotated-retinanet-rbox-le90_r50_fpn_csl-gaussian_amp-1x_dota",
    "rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota",
    "rotated_faster_rcnn/rotated-faster-rcnn-le90_r50_fpn_1x_dota",
    "roi_trans/roi-trans-le90_r50_fpn_1x_dota",
    "r3det/r3det-oc_r50_fpn_1x_dota",
]
SIZE = (96, 96)
BOXES = torch.tensor([[30.0, 34.0, 40.0, 16.0, 0.5], [70.0, 60.0, 30.0, 24.0, -0.9], [60.0, 20.0, 12.0, 8.0, 1.2]])
LABELS = torch.tensor([0, 1, 2])
#: How many of these the two images have.
COUNTS = {"uneven": (3, 1), "one empty": (2, 0), "both empty": (0, 0)}

Gradients = dict[str, torch.Tensor]


def config_of(name: str) -> dict[str, Any]:
    """A small model whose random samplers keep all; ``name`` may end in ``:standard``, for OWN_MEAN_LOSSES."""
    name, _, form = name.partition(":")

    def change(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [change(item) for item in value]
        if not isinstance(value, dict):
            return value
        value = {key: change(item) for key, item in value.items()}
        if value.get("type") == "RandomSampler":
            value |= {"num": 10**6, "pos_fraction": 0.5}
        if value.get("type") in OWN_MEAN_LOSSES and form:
            value["reduction_form"] = form
        return value

    changed: dict[str, Any] = change(small_config(name))
    return changed


def gradients(name: str, counts: tuple[int, ...], rank: int | None) -> Gradients:
    """Of both images, or of one and then averaged over the processes."""
    torch.manual_seed(0)
    detector = build_detector(config_of(name))
    detector.init_weights()
    # Batch normalisation would mix the images. In float32 the sums over pixels, in another order, differ by 1e-5.
    detector.double().eval()
    images = torch.randn((2, 3, *SIZE), dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    mine = range(2) if rank is None else range(rank, rank + 1)
    batch = Batch(images[list(mine)], [SIZE] * len(mine))
    targets = [Instances(BOXES[: counts[i]], "rbox", LABELS[: counts[i]]) for i in mine]
    model = detector if rank is None else DistributedDataParallel(detector)
    total_loss(model(batch, targets)).backward()  # type: ignore[no-untyped-call]
    return {key: value.grad for key, value in detector.named_parameters() if value.grad is not None}


def cases() -> list[tuple[str, str]]:
    standard = [f"{name}:standard" for name in OWN_MEAN]
    empty = [(name, images) for name in FAMILIES for images in ("one empty", "both empty")]
    return [(name, "uneven") for name in [*VARIANTS, *standard]] + empty


def work(rank: int, folder: str) -> None:
    """What each process does; the first keeps the gradients."""
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    where = torch.device("cpu")
    assert mean_over_processes(3.0 if rank else 0.0, where) == 1.5
    assert mean_over_processes(torch.tensor(0), where, at_least=1.0) == 0.5
    found = {f"{name} {images}": gradients(name, COUNTS[images], rank) for name, images in cases()}
    if rank == 0:
        torch.save(found, Path(folder, "gradients.pth"))
    torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def of_two(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Gradients]:
    """The gradients of two processes, case by case."""
    folder = tmp_path_factory.mktemp("processes")
    torch.multiprocessing.spawn(work, (str(folder),), nprocs=2)
    found: dict[str, Gradients] = torch.load(folder / "gradients.pth", weights_only=True)
    return found


def difference(two: Gradients, one: Gradients) -> float:
    """The largest of the parameters'."""
    assert two.keys() == one.keys()
    floor = 1e-6 * max(float(value.norm()) for value in one.values())
    shares = [float((two[name] - one[name]).norm()) / max(float(one[name].norm()), floor) for name in one]
    return float(torch.tensor(shares).max())  # not a number if one is not


@pytest.mark.slow
@pytest.mark.parametrize(("name", "images"), cases())
def test_two_processes_are_one(name: str, images: str, of_two: dict[str, Gradients]) -> None:
    found = difference(of_two[f"{name} {images}"], gradients(name, COUNTS[images], None))
    if name in OWN_MEAN:
        assert found > 0.1
    else:
        assert found < TOLERANCE


def test_without_a_distributed_run() -> None:
    where = torch.device("cpu")
    assert mean_over_processes(torch.tensor(7), where) == 7.0
    assert mean_over_processes(0, where, at_least=1.0) == 1.0


def test_sync_batch_norms_keep_what_a_layer_does() -> None:
    plain = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4)).eval()
    x = torch.randn((2, 3, 32, 32))
    with torch.no_grad():
        wanted = plain(x)
        converted = sync_batch_norms(plain)
        assert torch.equal(converted(x), wanted)
    assert isinstance(converted[1], nn.SyncBatchNorm)
    timm = pytest.importorskip("timm", reason="needs rotx[timm]")
    model = timm.create_model("tf_efficientnet_lite0", features_only=True).eval()
    with torch.no_grad():
        wanted = model(x)
        found = sync_batch_norms(model)(x)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(found, wanted, strict=True))
    assert not any(isinstance(module, nn.BatchNorm2d) for module in model.modules())
