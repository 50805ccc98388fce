"""Backbones and necks: the keys and numbers of MMRotate's, torchvision's and timm's, and what stays frozen."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import nn

import goldens
import recipe
from rotx.compat import build
from rotx.models.backbones.mobilenet_v2 import MobileNetV2
from rotx.models.backbones.resnet import ResNet
from rotx.models.checkpoints import Pretrained
from rotx.models.layers import BN, GN, ConvModule, Scale, SyncBN, bias_for_probability, normal_init
from rotx.models.necks.fpn import FPN

CONFIGS = (
    "oriented-rcnn-le90_r50_fpn_1x_dota",
    "roi-trans-le90_r50_fpn_1x_dota",
    "rotated-faster-rcnn-le90_r50_fpn_1x_dota",
    "rotated-fcos-hbox-le90_r50_fpn_1x_dota",
    "rotated-fcos-hbox-le90_r50_fpn_csl-gaussian_1x_dota",
    "rotated-fcos-le90_r50_fpn_1x_dota",
    "rotated-retinanet-hbox-le135_r50_fpn_kfiou_1x_dota",
    "rotated-retinanet-hbox-oc_r50_fpn_1x_dota",
    "rotated-retinanet-hbox-oc_r50_fpn_gwd_1x_dota",
    "rotated-retinanet-rbox-le90_r50_fpn_1x_dota",
    "rotated-retinanet-rbox-le90_r50_fpn_csl-gaussian_amp-1x_dota",
    "rotated-retinanet-rbox-le90_r50_fpn_kld-stable_1x_dota",
)
# The three pyramids of MMRotate's configs. What differs between configs of one pyramid is only in their heads.
PYRAMIDS = {
    "fcos": {"start_level": 1, "num_outs": 5, "add_extra_convs": "on_output", "relu_before_extra_convs": True},
    "retinanet": {"start_level": 1, "num_outs": 5, "add_extra_convs": "on_input"},
    "rcnn": {"num_outs": 5},
    "roi-trans": {"num_outs": 5},
}


def detector_body(config: str) -> nn.Module:
    """ResNet-50 and FPN as one of MMRotate's configs says, built from a config."""
    pyramid = next(options for name, options in PYRAMIDS.items() if name in config)
    body = nn.Module()
    body.backbone = build(
        {
            "type": "mmdet.ResNet",
            "depth": 50,
            "num_stages": 4,
            "out_indices": (0, 1, 2, 3),
            "frozen_stages": 1,
            "norm_cfg": {"type": "BN", "requires_grad": True},
            "norm_eval": True,
            "style": "pytorch",
            "init_cfg": {"type": "Pretrained", "checkpoint": "torchvision://resnet50"},
        }
    )
    body.neck = build({"type": "mmdet.FPN", "in_channels": [256, 512, 1024, 2048], "out_channels": 256, **pyramid})
    return body


@pytest.mark.parametrize("config", CONFIGS)
def test_same_keys_shapes_and_frozen_parameters_as_mmrotate(config: str) -> None:
    golden = goldens.Case(config).state
    body = detector_body(config)
    theirs = {
        key: (tuple(entry["shape"]), f"torch.{entry['dtype']}")
        for key, entry in golden["state_dict"].items()
        if key.startswith(("backbone.", "neck."))
    }
    assert {key: (tuple(value.shape), str(value.dtype)) for key, value in body.state_dict().items()} == theirs
    frozen = {name for name, parameter in body.named_parameters() if not parameter.requires_grad}
    assert frozen == {name for name in golden["requires_grad_false"] if name.startswith(("backbone.", "neck."))}


@pytest.mark.parametrize("config", CONFIGS)
def test_same_feature_maps_as_mmrotate(config: str) -> None:
    golden, body = goldens.Case(config), recipe.load_into(detector_body(config))
    with torch.no_grad():
        features = body.backbone(golden.image("random256"))
        outputs = {f"backbone.{i}": x for i, x in enumerate(features)}
        outputs |= {f"neck.{i}": x for i, x in enumerate(body.neck(features))}
    theirs = golden.meta["runs"]["random256"]["out_stats"]
    assert outputs.keys() == {name for name in theirs if name.startswith(("backbone.", "neck."))}
    assert not golden.differences("random256", outputs, tolerance=1e-4)


@pytest.mark.parametrize("depth", [18, 34, 50, 101])
def test_resnet_is_torchvisions(depth: int) -> None:
    ours = ResNet(depth=depth).eval()
    theirs = getattr(torchvision.models, f"resnet{depth}")().eval()
    weights = {key: value for key, value in theirs.state_dict().items() if not key.startswith("fc.")}
    ours.load_state_dict(weights)
    image = torch.randn(1, 3, 65, 70)
    x = theirs.maxpool(theirs.relu(theirs.bn1(theirs.conv1(image))))
    with torch.no_grad():
        for i, output in enumerate(ours(image)):
            x = theirs.get_submodule(f"layer{i + 1}")(x)
            assert torch.equal(output, x)
            assert output.shape[1] == ours.out_channels[i]


def test_caffe_style_has_its_stride_on_the_first_convolution() -> None:
    ours, other = ResNet(depth=50, style="caffe"), ResNet(depth=50)
    strides = {name: m.stride[0] for name, m in ours.named_modules() if isinstance(m, nn.Conv2d) and m.stride[0] == 2}
    assert set(strides) == {"conv1"} | {f"layer{i}.0.{n}" for i in (2, 3, 4) for n in ("conv1", "downsample.0")}
    ours.load_state_dict(other.state_dict())
    image = torch.randn(1, 3, 64, 64)
    assert [x.shape for x in ours(image)] == [x.shape for x in other(image)]


@pytest.mark.parametrize("frozen", [-1, 0, 2])
def test_what_is_frozen_stays_as_it_is(frozen: int) -> None:
    model = ResNet(depth=18, frozen_stages=frozen, norm_eval=False).train()
    for module in model.modules():
        if isinstance(
            module, nn.BatchNorm2d
        ):  # blocks start as the identity, without a gradient for their convolutions
            nn.init.ones_(module.weight)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.1)
    sum(x.square().mean() for x in model(torch.randn(2, 3, 64, 64))).backward()
    optimizer.step()
    names = [] if frozen < 0 else ["conv1.", "bn1.", *(f"layer{i + 1}." for i in range(frozen))]
    for key, value in model.state_dict().items():
        assert torch.equal(value, before[key]) == key.startswith(tuple(names)), key


def test_norm_eval_keeps_running_statistics() -> None:
    model = ResNet(depth=18).train()
    before = model.layer3[0].bn1.running_mean.clone()
    model(torch.randn(2, 3, 64, 64))
    assert torch.equal(model.layer3[0].bn1.running_mean, before)
    assert model.training and not model.layer3[0].bn1.training


def test_resnet_with_fewer_stages_and_group_norm() -> None:
    model = ResNet(depth=18, num_stages=3, out_indices=(1, 2), norm_cfg=GN(num_groups=8))
    outputs = model(torch.randn(1, 3, 64, 64))
    assert [tuple(x.shape) for x in outputs] == [(1, 128, 8, 8), (1, 256, 4, 4)]
    assert model.out_channels == (128, 256)
    assert not any("layer4" in key for key in model.state_dict())


def test_resnet_of_half_the_width() -> None:
    model = ResNet(depth=50, base_channels=32, out_indices=(0, 3))
    assert [x.shape[1] for x in model(torch.randn(1, 3, 64, 64))] == [128, 1024] == list(model.out_channels)
    with pytest.raises(ValueError, match="base_channels: need at least 1, got 0"):
        ResNet(depth=50, base_channels=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"depth": 20}, "depth: need one of 18, 34, 50, 101, 152, got 20"),
        ({"depth": 50, "num_stages": 5}, "num_stages: need 1 to 4"),
        ({"depth": 50, "out_indices": (0, 4)}, "out_indices: need increasing stages from 0 to 3"),
        ({"depth": 50, "out_indices": ()}, "out_indices"),
        ({"depth": 50, "frozen_stages": 5}, "frozen_stages: need -1 to 4, got 5"),
        ({"depth": 50, "style": "tf"}, "style: need 'pytorch' or 'caffe', got 'tf'"),
    ],
)
def test_resnet_says_what_it_needs(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ResNet(**options)


def test_mobilenet_is_torchvisions() -> None:
    model = MobileNetV2().eval()
    theirs = torchvision.models.mobilenet_v2().eval()
    model.load_state_dict({k: v for k, v in theirs.state_dict().items() if k in model.state_dict()})
    image = torch.randn(1, 3, 96, 64)
    with torch.no_grad():
        outputs = model(image)
        assert torch.equal(outputs[-1], theirs.features[:18](image))
    assert [tuple(x.shape[1:]) for x in outputs] == [(24, 24, 16), (32, 12, 8), (96, 6, 4), (320, 3, 2)]
    assert model.out_channels == (24, 32, 96, 320)
    assert set(theirs.state_dict()) - set(model.state_dict()) == {
        key for key in theirs.state_dict() if key.startswith(("features.18.", "classifier."))
    }


def test_mobilenet_narrow_and_frozen() -> None:
    model = MobileNetV2(widen_factor=0.5, out_indices=(1, 4), frozen_stages=2, norm_eval=True).train()
    assert model.out_channels == (8, 32)
    frozen = {name.split(".")[1] for name, p in model.named_parameters() if not p.requires_grad}
    assert frozen == {"0", "1", "2", "3"}
    assert not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    with pytest.raises(ValueError, match="out_indices: need increasing stages from 1 to 7"):
        MobileNetV2(out_indices=(0, 8))


@pytest.mark.parametrize("name", ["resnet10t", "tf_efficientnet_lite0", "swin_tiny_patch4_window7_224"])
def test_timm_backbones(name: str) -> None:
    pytest.importorskip("timm", reason="needs rotx[timm]")
    options = {"img_size": 96} if name.startswith("swin") else {}
    model = build({"type": "TIMMBackbone", "model_name": name, "pretrained": True, "out_indices": (1, 2, 3), **options})
    outputs = model(torch.randn(2, 3, 96, 96))
    assert [x.shape[1] for x in outputs] == list(model.out_channels)
    assert [(96 // x.shape[2], 96 // x.shape[3]) for x in outputs] == [(s, s) for s in model.strides]
    neck = FPN(in_channels=model.out_channels, out_channels=16, num_outs=4)
    assert len(neck(outputs)) == 4


def test_timm_norm_eval_and_errors() -> None:
    pytest.importorskip("timm", reason="needs rotx[timm]")
    from rotx.models.backbones.timm import TIMMBackbone

    model = TIMMBackbone(model_name="resnet10t", norm_eval=True).train()
    assert not any(m.training for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    with pytest.raises(ValueError, match="timm has no model 'resnet10': did you mean 'resnet1"):
        TIMMBackbone(model_name="resnet10")
    with pytest.raises(ValueError, match="timm cannot create resnet10t"):
        TIMMBackbone(model_name="resnet10t", out_indices=(7,))
    with pytest.raises(ValueError, match="features_only"):
        TIMMBackbone(model_name="resnet10t", features_only=False)


def test_without_timm_the_error_says_what_to_install() -> None:
    code = "import sys; sys.modules['timm'] = None\nfrom rotx.registry import resolve\nresolve('TIMMBackbone')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.stderr.splitlines()[-1] == "ImportError: TIMMBackbone needs timm: pip install 'rotx[timm]'"


def test_building_downloads_nothing_and_a_failed_download_says_how_to_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    addresses = []

    def fail(url: str, *args: Any, **keywords: Any) -> None:
        addresses.append(url)
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", fail)
    model = ResNet(depth=50, init_cfg=Pretrained(checkpoint="torchvision://resnet50"))
    assert not addresses
    with pytest.raises(OSError, match=r"cannot download .*resnet50-0676ba61\.pth \(no route to host\).*init_cfg=None"):
        model.init_weights()
    assert addresses == ["https://download.pytorch.org/models/resnet50-0676ba61.pth"]
    ResNet(depth=18).init_weights()


def test_init_weights_takes_what_is_in_torchs_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    theirs = torchvision.models.resnet18()
    cached = tmp_path / "hub/checkpoints/resnet18-f37072fd.pth"
    cached.parent.mkdir(parents=True)
    torch.save(theirs.state_dict(), cached)
    model = ResNet(depth=18, init_cfg=Pretrained(checkpoint="torchvision://resnet18"))
    model.init_weights()
    assert torch.equal(model.layer4[1].conv2.weight, theirs.layer4[1].conv2.weight)


def pyramid(**options: Any) -> list[tuple[int, ...]]:
    neck = FPN(in_channels=(2, 3, 5, 7), out_channels=4, **options)
    inputs = [
        torch.randn(1, c, *size) for c, size in zip((2, 3, 5, 7), [(35, 50), (18, 25), (9, 13), (5, 7)], strict=True)
    ]
    outputs = neck(inputs)
    sum(x.sum() for x in outputs).backward()
    assert all(p.grad is not None for p in neck.parameters())
    assert all(x.shape[:2] == (1, 4) for x in outputs)
    return [tuple(x.shape[2:]) for x in outputs]


def test_fpn_levels() -> None:
    sizes = [(35, 50), (18, 25), (9, 13), (5, 7), (3, 4), (2, 2)]
    assert pyramid(num_outs=4) == sizes[:4]
    assert pyramid(num_outs=6) == sizes
    assert pyramid(num_outs=2, start_level=1, end_level=2) == sizes[1:3]
    assert pyramid(num_outs=4, end_level=3) == sizes[:4]
    for source in (True, "on_input", "on_lateral", "on_output"):
        assert pyramid(num_outs=5, start_level=1, add_extra_convs=source) == sizes[1:]


def test_fpn_norms_and_errors() -> None:
    keys = FPN(in_channels=(4,), out_channels=4, num_outs=1, norm_cfg=BN(), no_norm_on_lateral=True).state_dict()
    assert "fpn_convs.0.bn.weight" in keys and "fpn_convs.0.conv.bias" not in keys
    assert "lateral_convs.0.conv.bias" in keys and "lateral_convs.0.bn.weight" not in keys
    for options, message in (
        ({"num_outs": 2}, "num_outs: got 2, but levels 0 to 3 give 4"),
        ({"num_outs": 5, "end_level": 2}, "extra outputs need the last input"),
        ({"num_outs": 4, "start_level": 4}, "start_level, end_level: need levels of the 4 inputs"),
        ({"num_outs": 5, "add_extra_convs": "on_inputs"}, "add_extra_convs: need 'on_input'"),
    ):
        with pytest.raises(ValueError, match=message):
            FPN(in_channels=(2, 3, 5, 7), out_channels=4, **options)


def test_layers_have_mmcvs_names() -> None:
    assert set(ConvModule(2, 4, 3).state_dict()) == {"conv.weight", "conv.bias"}
    assert set(ConvModule(2, 4, 3, norm=GN(num_groups=2)).state_dict()) == {"conv.weight", "gn.weight", "gn.bias"}
    assert "bn.running_var" in ConvModule(2, 4, 3, norm=SyncBN()).state_dict()
    assert "conv.bias" in ConvModule(2, 4, 3, norm=BN(), bias=True).state_dict()
    assert Scale(2.0)(torch.ones(3)).tolist() == [2.0, 2.0, 2.0]
    assert set(Scale().state_dict()) == {"scale"}
    norm = BN(requires_grad=False, eps=1e-3, momentum=0.03)(4)
    assert (norm.eps, norm.momentum, norm.weight.requires_grad) == (1e-3, 0.03, False)
    layer = ConvModule(2, 4, 3, norm=BN())
    assert layer(torch.randn(1, 2, 8, 8)).min() == 0
    assert ConvModule(2, 4, 3, act=None)(torch.randn(1, 2, 8, 8)).min() < 0


ACTIVATIONS = {
    "ReLU": nn.ReLU,
    "ReLU6": nn.ReLU6,
    "LeakyReLU": nn.LeakyReLU,
    "SiLU": nn.SiLU,
    "Swish": nn.SiLU,
    "GELU": nn.GELU,
    "HSwish": nn.Hardswish,
    "HSigmoid": nn.Hardsigmoid,
    "Mish": nn.Mish,
    "Sigmoid": nn.Sigmoid,
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations_by_name(name: str) -> None:
    act = build({"type": name})
    first, second = (ConvModule(2, 4, 3, act=act, norm=BN()).eval() for _ in range(2))
    assert isinstance(first.act, ACTIVATIONS[name]) and first.act is not second.act
    x = torch.randn(1, 2, 8, 8)
    torch.testing.assert_close(first(x), ACTIVATIONS[name]()(first.bn(first.conv(x))))
    assert set(first.state_dict()) == set(ConvModule(2, 4, 3, norm=BN()).state_dict())


def test_convolutions_by_name() -> None:
    made = []

    def conv(*args: int, **settings: int) -> nn.Module:
        made.append((args, settings))
        return nn.Conv2d(*args, **settings)

    layer = ConvModule(4, 8, 3, padding=2, dilation=2, groups=2, conv=conv)
    assert made == [((4, 8, 3), {"stride": 1, "padding": 2, "dilation": 2, "groups": 2, "bias": True})]
    assert layer(torch.zeros(1, 4, 9, 9)).shape == (1, 8, 9, 9)
    plain = ConvModule(4, 8, 1, conv=build({"type": "Conv2d"}), act=None)
    assert isinstance(plain.conv, nn.Conv2d)


def test_initial_weights() -> None:
    torch.manual_seed(0)
    layer = nn.Conv2d(64, 64, 3)
    normal_init(layer, std=0.01, bias=bias_for_probability(0.01))
    assert layer.weight.std().item() == pytest.approx(0.01, rel=0.02)
    assert torch.sigmoid(layer.bias).tolist() == pytest.approx([0.01] * 64)


def test_a_pyramid_refuses_maps_that_it_would_not_use() -> None:
    neck = FPN(in_channels=[8, 16], out_channels=16, num_outs=4)
    maps = [torch.zeros(1, channels, 8, 8) for channels in (8, 16, 32)]
    with pytest.raises(ValueError, match="in_channels: need one number for each of the 3 maps"):
        neck(maps)
