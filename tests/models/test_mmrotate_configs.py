"""Configs in MMRotate's own words, of 1.x and of 0.x, build the detectors of configs/."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mmrotate_style import V0, V1, write
from rotx import config
from rotx.compat import load_config
from rotx.models import build_detector, load_checkpoint
from rotx.models.detectors import SingleStage, TwoStage

CONFIGS = Path(__file__).parents[2] / "configs"


def built(path: Path) -> SingleStage | TwoStage:
    with torch.device("meta"):
        return build_detector(load_config(path, notice=lambda text: None)["model"])


def settings(thing: Any, where: str = "", seen: tuple[int, ...] = ()) -> Iterator[tuple[str, object]]:
    """Everything that a built object holds, attribute by attribute, with its path."""
    if isinstance(thing, Tensor):
        yield where, (tuple(thing.shape), thing.requires_grad)
    elif isinstance(thing, list | tuple | Mapping):
        items = thing.items() if isinstance(thing, Mapping) else enumerate(thing)
        for key, value in items:
            yield from settings(value, f"{where}.{key}", seen)
    elif type(thing).__module__.startswith(("rotx.", "torch.nn.")) and id(thing) not in seen:
        yield where, type(thing).__name__
        held = dict(vars(thing))
        if isinstance(thing, nn.Module):
            held |= {**held["_parameters"], **held["_buffers"], **held["_modules"]}
            held = {key: value for key, value in held.items() if not key.startswith("_")}
        yield from settings(held, where, (*seen, id(thing)))
    elif thing is None or isinstance(thing, bool | int | float | str):
        yield where, thing


def differences(a: nn.Module, b: nn.Module) -> dict[str, tuple[object, object]]:
    first, second = dict(settings(a)), dict(settings(b))
    assert len(first) > 500, "the walk must reach the layers"
    both = {key: (first.get(key, "-"), second.get(key, "-")) for key in first.keys() | second.keys()}
    return {key: values for key, values in both.items() if values[0] != values[1]}


@pytest.mark.parametrize("name", V1)
def test_mmrotate_1x(name: str, tmp_path: Path) -> None:
    theirs, ours = built(write(tmp_path, V1, name)), built(CONFIGS / f"{name}.py")
    assert [*theirs.state_dict()] == [*ours.state_dict()]
    assert differences(theirs, ours) == {}


#: What 0.x means otherwise than 1.x under the same name: ends of paths → both values.
KNOWN = {
    # All anchors have the angle 0, and the checkpoints know them so.
    "anchor_generator.angle_version": {(None, "le90"), (None, "le135"), (None, "oc")},
    # R3Det's first head compares anchors with the upright boxes around the objects.
    "bbox_head_init.targeter.assigner.iou_calculator": {("FakeRBboxOverlaps2D", "RBboxOverlaps2D")},
    # The base's smooth L1 leaves its beta to KFIoU's in 1.x.
    "bbox_head_init.loss_bbox.beta": {(1 / 9, 0.11)},
    # RoI Transformer's angles are scaled otherwise.
    "bbox_coder._rotated.stds.4": {(1, 0.1)},
    "bbox_coder.stds.4": {(0.5, 0.05)},
    # FCOS with an angle of its own: GIoU, not IoU.
    "bbox_head.loss_bbox": {("GIoULoss", "IoULoss")},
    "bbox_head.loss_bbox.mode": {("-", "log")},
}


@pytest.mark.parametrize("name", V0)
def test_mmrotate_0x(name: str, tmp_path: Path) -> None:
    theirs, ours = built(write(tmp_path, V0, name)), built(CONFIGS / f"{name}.py")
    assert [*theirs.state_dict()] == [*ours.state_dict()]
    for path, values in differences(theirs, ours).items():
        known = [found for end, found in KNOWN.items() if path.endswith(f".{end}")]
        assert any(values in found for found in known), (path, values)


def test_anchors_of_0x_have_the_angle_0(tmp_path: Path) -> None:
    name = "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota"
    generator = build_detector(load_config(write(tmp_path, V0, name), notice=print)["model"]).bbox_head.anchor_generator
    anchors = torch.cat(generator.grid_priors([(8, 8), (4, 4), (2, 2), (1, 1), (1, 1)]))
    assert (anchors[:, 4] == 0).all() and (anchors[:, 3] > anchors[:, 2]).any()


FAMILIES = [
    "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota",
    "rotated_fcos/rotated-fcos-le90_r50_fpn_1x_dota",
    "rotated_faster_rcnn/rotated-faster-rcnn-le90_r50_fpn_1x_dota",
    "oriented_rcnn/oriented-rcnn-le90_r50_fpn_1x_dota",
    "roi_trans/roi-trans-le90_r50_fpn_1x_dota",
    "r3det/r3det-refine-oc_r50_fpn_1x_dota",
]


def trained(name: str) -> nn.Module:
    """A detector whose weights are told from those it starts with."""
    model: nn.Module = build_detector(load_config(CONFIGS / f"{name}.py")["model"])
    with torch.no_grad():
        for i, value in enumerate(model.state_dict().values()):
            value.fill_(i % 7)
    return model


#: Keys of R3Det's parts → those of 0.x.
OLD_KEYS = (
    (r"^bbox_head_init\.", "bbox_head."),
    (r"^bbox_head_refine\.(\d)\.feat_refine_module\.", r"feat_refine_module.\1."),
    (r"^bbox_head_refine\.(\d)\.", r"refine_head.\1."),
)


def as_saved(weights: Mapping[str, Tensor], version: str) -> dict[str, Any]:
    """A checkpoint's content as MMRotate writes it at the end of an epoch."""
    if version == "0.x":
        for new, old in OLD_KEYS:
            weights = {re.sub(new, old, key): value for key, value in weights.items()}
        averaged = {f"ema_{key.replace('.', '_')}": value + 1 for key, value in weights.items()}
        meta = {"mmrotate_version": "0.3.4", "CLASSES": ("plane", "ship"), "epoch": 12, "iter": 9, "config": "model ="}
        return {"meta": meta, "state_dict": {**weights, **averaged}, "optimizer": {"state": {}, "param_groups": []}}
    statistics = {"data_preprocessor.mean": torch.zeros(3, 1, 1), "data_preprocessor.std": torch.ones(3, 1, 1)}
    averaged = {"steps": torch.tensor(9), **{f"module.{key}": value + 1 for key, value in weights.items()}}
    meta = {"dataset_meta": {"classes": ("plane", "ship")}, "epoch": 12, "iter": 9, "cfg": "model = dict()"}
    state = {f"module.{key}": value for key, value in (statistics | dict(weights)).items()}
    return {"meta": meta, "state_dict": state, "ema_state_dict": averaged, "message_hub": {}, "param_schedulers": []}


@pytest.mark.parametrize("version", ["0.x", "1.x"])
@pytest.mark.parametrize("name", FAMILIES, ids=lambda name: Path(name).parent.name)
def test_checkpoints(name: str, version: str, tmp_path: Path) -> None:
    weights = trained(name).state_dict()
    torch.save(as_saved(weights, version), tmp_path / "epoch_12.pth")
    model = build_detector(load_config(CONFIGS / f"{name}.py")["model"])
    report = load_checkpoint(model, tmp_path / "epoch_12.pth", strict=True)
    assert report.complete and report.classes == ("plane", "ship")
    assert len(report.loaded) == len(weights)
    assert all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


def test_a_checkpoint_of_another_family(tmp_path: Path) -> None:
    torch.save(as_saved(trained(FAMILIES[3]).state_dict(), "1.x"), tmp_path / "oriented.pth")
    retina = build_detector(load_config(CONFIGS / f"{FAMILIES[0]}.py")["model"])
    report = load_checkpoint(retina, tmp_path / "oriented.pth")
    assert not report.complete and str(tmp_path / "oriented.pth") in str(report)
    assert "bbox_head.retina_cls.weight" in report.missing
    assert "roi_head.bbox_head.fc_cls.weight" in report.unexpected
    before = {key: value.clone() for key, value in retina.state_dict().items()}
    with pytest.raises(ValueError, match=r"missing.*\n(.*\n)*missing +bbox_head\.cls_convs"):
        load_checkpoint(retina, tmp_path / "oriented.pth", strict=True)
    assert all(torch.equal(value, before[key]) for key, value in retina.state_dict().items())


def test_a_checkpoint_with_other_classes(tmp_path: Path) -> None:
    torch.save(as_saved(trained(FAMILIES[2]).state_dict(), "0.x"), tmp_path / "dota.pth")
    model = build_detector(load_config(CONFIGS / f"{FAMILIES[2].replace('1x_dota', '3x_hit-uav')}.py")["model"])
    report = load_checkpoint(model, tmp_path / "dota.pth")
    assert report.mismatched == {
        "roi_head.bbox_head.fc_cls.weight": ((4, 1024), (16, 1024)),
        "roi_head.bbox_head.fc_cls.bias": ((4,), (16,)),
    }


def test_every_config_dumps_and_reloads(tmp_path: Path) -> None:
    for path in sorted(CONFIGS.rglob("*.py")):
        loaded = load_config(path, notice=pytest.fail)
        (tmp_path / "again.py").write_text(config.dumps(loaded))
        assert load_config(tmp_path / "again.py") == loaded, path
