"""Checkpoints as MMRotate 0.x and 1.x write them, hostile files and broken ones."""

from __future__ import annotations

import argparse
import collections
import datetime
import functools
import io
import os
import pathlib
import pickle
import subprocess
import sys
import types
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rotx.models import torch_files
from rotx.models.checkpoints import LoadReport, Pretrained, load_checkpoint


def net(*shape: int) -> nn.Module:
    """A model with the kinds of keys that detectors have."""
    model = nn.Module()
    model.backbone = nn.Sequential(OrderedDict(conv1=nn.Conv2d(3, 4, 3, bias=False), bn1=nn.BatchNorm2d(4)))
    model.bbox_head = nn.Sequential(OrderedDict(conv_cls=nn.Conv2d(4, *(shape or (2,)), 3)))
    nn.init.normal_(model.backbone.bn1.running_mean)
    return model


def same(model: nn.Module, weights: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(value, weights[key]) for key, value in model.state_dict().items())


@pytest.fixture
def foreign() -> Iterator[types.SimpleNamespace]:
    """Classes of packages that are there when a file is written and gone when it is read."""
    made = {
        # A dict with attributes, as addict's and so MMCV's and MMEngine's configs.
        ("mmengine.config.config", "ConfigDict"): (dict,),
        ("mmengine.logging.history_buffer", "HistoryBuffer"): (),
        ("my_plugin", "Names"): (list,),
        ("my_plugin", "Slots"): (),
    }
    modules: dict[str, types.ModuleType] = {}
    classes = {}
    for (module, name), bases in made.items():
        modules.setdefault(module, types.ModuleType(module))
        namespace = {"__module__": module} | ({"__slots__": ("a", "b")} if name == "Slots" else {})
        classes[name] = type(name, bases, namespace)
        setattr(modules[module], name, classes[name])
    for module in [*modules]:
        for parent in [module.rsplit(".", i)[0] for i in range(1, module.count(".") + 1)]:
            modules.setdefault(parent, types.ModuleType(parent))
    sys.modules.update(modules)
    yield types.SimpleNamespace(**classes)
    for module in modules:
        sys.modules.pop(module, None)


def gone() -> None:
    """Ends the packages of ``foreign``: what is read afterwards cannot import them."""
    for module in [name for name in sys.modules if name.split(".")[0] in ("mmengine", "my_plugin")]:
        del sys.modules[module]


def test_mmrotate_1x(tmp_path: Path, foreign: types.SimpleNamespace) -> None:
    source, target = net(), net()
    buffer = foreign.HistoryBuffer()
    buffer._log_history, buffer._count_history = np.arange(3.0), np.ones(3, dtype=np.int64)
    names = foreign.Names(["a", "b"])
    slots = foreign.Slots()
    slots.a, slots.b = 1, (2, 3)
    config = foreign.ConfigDict(type="RetinaNet", nested=foreign.ConfigDict(x=[1]))
    config.attribute = "x"
    weights = source.state_dict()
    weights["data_preprocessor.mean"] = torch.zeros(3, 1, 1)
    torch.save(
        {
            "meta": {
                "epoch": 12,
                "dataset_meta": {"classes": ("plane", "ship"), "palette": [(165, 42, 42), (189, 183, 107)]},
                "cfg": "model = dict(type='RetinaNet')",
                "config": config,
                "names": names,
                "slots": slots,
                "time": datetime.datetime(2022, 1, 1),
                "args": argparse.Namespace(work_dir=pathlib.PurePosixPath("work")),
                "counts": collections.defaultdict(list, a=[1]),
                "empty": b"",
                "seed": np.int64(3),
            },
            "message_hub": {"log_scalars": OrderedDict(loss=buffer), "runtime_info": OrderedDict(lr=np.float32(0.1))},
            "state_dict": weights,
            "optimizer": torch.optim.SGD(source.parameters(), lr=0.1).state_dict(),
        },
        tmp_path / "epoch_12.pth",
    )
    gone()
    report = load_checkpoint(target, tmp_path / "epoch_12.pth", strict=True)
    assert same(target, source.state_dict())
    assert report.classes == ("plane", "ship")
    assert "mmengine" not in sys.modules


def test_mmrotate_0x(tmp_path: Path) -> None:
    source, target = net(), net()
    meta = {"mmrotate_version": "0.3.4", "CLASSES": ("plane", "ship"), "env_info": "linux", "epoch": 12}
    content = {"meta": meta, "state_dict": source.state_dict(), "optimizer": {"state": {}}}
    for new in (True, False):
        torch.save(content, tmp_path / "epoch_12.pth", _use_new_zipfile_serialization=new)
        report = load_checkpoint(target, tmp_path / "epoch_12.pth", strict=True)
        assert same(target, source.state_dict())
        assert report.classes == ("plane", "ship")
        assert str(report) == f"{tmp_path / 'epoch_12.pth'}: 8 keys loaded, 0 missing, 0 mismatched, 0 unexpected"


def wrap(layout: str, weights: dict[str, torch.Tensor]) -> dict[str, Any]:
    """The same weights in the layouts that are around."""
    other = {key: value + 1 for key, value in weights.items()}
    parallel = OrderedDict((f"module.{key}", value) for key, value in weights.items())
    if layout == "mmengine ema":  # the hook has put the averages under the plain names
        return {
            "state_dict": weights,
            "ema_state_dict": {"steps": torch.tensor(9), **{f"module.{k}": other[k] for k in other}},
        }
    if layout == "mmcv ema":
        return {"state_dict": weights | {f"ema_{key.replace('.', '_')}": value for key, value in other.items()}}
    return {
        "plain": weights,
        "model": {"model": weights, "epoch": 3},
        "ema alone": {"ema_state_dict": {"steps": torch.tensor(9), **parallel}},
        "parallel": {"state_dict": parallel},
        "twice parallel": {"state_dict": {f"module.{key}": value for key, value in parallel.items()}},
    }[layout]


@pytest.mark.parametrize(
    "layout", ["plain", "model", "mmengine ema", "mmcv ema", "ema alone", "parallel", "twice parallel"]
)
def test_layouts(layout: str, tmp_path: Path) -> None:
    source, target = net(), net()
    torch.save(wrap(layout, source.state_dict()), tmp_path / "w.pth")
    load_checkpoint(target, tmp_path / "w.pth", strict=True)
    assert same(target, source.state_dict())


def test_names_of_e2cnn_are_kept(tmp_path: Path) -> None:
    keys = ["batch_norm_[8].weight", "block_expansion_('regular', 'regular').sampled_basis"]
    model = nn.Module()
    for key in keys:
        part, _, name = key.rpartition(".")
        model.add_module(part, nn.Module())
        model.get_submodule(part).register_parameter(name, nn.Parameter(torch.zeros(2)))
    torch.save({"state_dict": {f"module.{key}": torch.ones(2) for key in keys}}, tmp_path / "redet.pth")
    report = load_checkpoint(model, tmp_path / "redet.pth", strict=True)
    assert set(report.loaded) == set(keys)
    assert all(parameter.sum() == 2 for parameter in model.parameters())


def test_old_names_of_fcos(tmp_path: Path) -> None:
    source, target = net(), net()
    weights = {key.replace("conv_cls", "fcos_cls"): value for key, value in source.state_dict().items()}
    torch.save(weights, tmp_path / "w.pth")
    load_checkpoint(target, tmp_path / "w.pth", strict=True)
    assert same(target, source.state_dict())


def test_report(tmp_path: Path) -> None:
    target = net(3)
    before = {key: value.clone() for key, value in target.state_dict().items()}
    weights = net(2).state_dict()
    del weights["backbone.bn1.weight"], weights["backbone.bn1.num_batches_tracked"]
    weights |= {f"extra.{i:02}": torch.zeros(i) for i in range(25)}
    torch.save(weights, tmp_path / "w.pth")
    with pytest.raises(ValueError, match="4 keys loaded, 1 missing, 2 mismatched, 25 unexpected"):
        load_checkpoint(target, tmp_path / "w.pth", strict=True)
    assert same(target, before)
    report = load_checkpoint(target, tmp_path / "w.pth")
    assert report.missing == {"backbone.bn1.weight": (4,)}
    assert report.mismatched["bbox_head.conv_cls.bias"] == ((3,), (2,))
    assert report.classes is None
    lines = str(report).splitlines()
    assert lines[1].split() == ["key", "in", "the", "model", "in", "the", "file"]
    assert lines[2] == "missing     backbone.bn1.weight        (4,)          -"
    assert lines[3] == "mismatched  bbox_head.conv_cls.weight  (3, 4, 3, 3)  (2, 4, 3, 3)"
    assert lines[-1] == "unexpected  ... and 5 more"
    assert torch.equal(target.state_dict()["backbone.conv1.weight"], weights["backbone.conv1.weight"])
    assert torch.equal(target.bbox_head.conv_cls.weight, before["bbox_head.conv_cls.weight"])


def test_half_weights_take_the_models_dtype(tmp_path: Path) -> None:
    source, target = net(), net()
    torch.save(
        {key: value.half() if value.is_floating_point() else value for key, value in source.state_dict().items()},
        tmp_path / "w.pth",
    )
    load_checkpoint(target, tmp_path / "w.pth", strict=True)
    assert target.backbone.conv1.weight.dtype == torch.float32
    assert torch.allclose(target.backbone.conv1.weight, source.backbone.conv1.weight, atol=1e-3)


def test_the_wrong_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    for weights, message in (
        ({"fam_head.x": torch.ones(1)}, "it holds fam_head; the model has backbone, bbox_head"),
        ({"conv1.weight": torch.ones(1)}, "its keys are those of the model's 'backbone'"),
        ({"detector.backbone.bn1.bias": torch.ones(1)}, "load that part with prefix='detector'"),
        (
            {"backbone.bn1.bias": torch.ones(9)},
            r"1 keys are the same, but backbone.bn1.bias is \(9,\) there and \(4,\)",
        ),
    ):
        torch.save(weights, path)
        with pytest.raises(ValueError, match=rf"w\.pth: none of its weights fits the model: .*{message}"):
            load_checkpoint(net(), path)
    for content, message in (({"epoch": 3}, "holds no weights .*: epoch"), ([1], "holds no weights but a list")):
        torch.save(content, path)
        with pytest.raises(ValueError, match=rf"w\.pth: {message}"):
            load_checkpoint(net(), path)


def test_pretrained(tmp_path: Path) -> None:
    source = net()
    torch.save({"state_dict": source.state_dict()}, tmp_path / "w.pth")
    for prefix in ("backbone", "backbone."):
        target = net().backbone
        report = Pretrained(checkpoint=str(tmp_path / "w.pth"), prefix=prefix).load_into(target)
        assert isinstance(report, LoadReport) and report.complete
        assert same(target, source.backbone.state_dict())
    with pytest.raises(ValueError, match=r"w\.pth: no key starts with 'neck\.'"):
        Pretrained(checkpoint=str(tmp_path / "w.pth"), prefix="neck").load_into(net())
    with pytest.raises(ValueError, match="unknown scheme open-mmlab://: give a file"):
        Pretrained(checkpoint="open-mmlab://resnet50_caffe").load_into(net())
    with pytest.raises(ValueError, match="torchvision has no weights of that name"):
        Pretrained(checkpoint="torchvision://resnet51").load_into(net())
    with pytest.raises(FileNotFoundError, match=r"none\.pth: no such file"):
        Pretrained(checkpoint=str(tmp_path / "none.pth")).load_into(net())


class Call:
    """Pickles as the call of a function."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


HOSTILE: dict[str, tuple[Callable[[str], Any], str]] = {
    "system": (lambda touch: Call(os.system, touch), "posix.system"),
    "eval": (lambda touch: Call(eval, f"__import__('os').system({touch!r})"), "builtins.eval"),
    "exec": (lambda touch: Call(exec, f"import os; os.system({touch!r})"), "builtins.exec"),
    "popen": (lambda touch: Call(subprocess.Popen, ["sh", "-c", touch]), "subprocess.Popen"),
    "getattr": (lambda touch: Call(getattr, types.SimpleNamespace(a=1), "a"), "builtins.getattr"),
    "partial": (lambda touch: functools.partial(print, touch), "functools.partial"),
    "open": (lambda touch: Call(io.open, touch.split()[-1], "w"), "_?io.open"),
    "loads": (lambda touch: Call(pickle.loads, pickle.dumps(Call(os.system, touch))), "_?pickle.loads"),
    "torch": (lambda touch: Call(torch.load, touch.split()[-1]), "torch.serialization.load"),
    "numpy": (lambda touch: Call(np.load, touch.split()[-1], None, True), "numpy.*load"),
    "whole model": (lambda touch: nn.Linear(2, 2), "torch.nn.modules.*Linear"),
}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_files_are_refused_and_named(name: str, legacy: bool, tmp_path: Path) -> None:
    make, says = HOSTILE[name]
    marker, path = tmp_path / "marker", tmp_path / "hostile.pth"
    content = {"meta": {"config": make(f"touch {marker}")}, "state_dict": net().state_dict()}
    torch.save(content, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ValueError, match=rf"hostile\.pth: names '{says}'.*refused, and nothing of it was run"):
        load_checkpoint(net(), path)
    assert not marker.exists()


def test_a_hostile_function_of_another_package_is_not_called(tmp_path: Path, foreign: types.SimpleNamespace) -> None:
    marker = tmp_path / "marker"
    plugin = sys.modules["my_plugin"]
    exec(f"def run(): import os; os.system('touch {marker}')", plugin.__dict__)
    plugin.run.__module__ = "my_plugin"
    source, target = net(), net()
    torch.save({"meta": Call(plugin.run), "state_dict": source.state_dict()}, tmp_path / "w.pth")
    # It can be imported still; it is not.
    load_checkpoint(target, tmp_path / "w.pth", strict=True)
    assert same(target, source.state_dict())
    assert not marker.exists()


@pytest.mark.parametrize(
    "hidden",
    [
        pytest.param(b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x0atouch /x/y\x85R.", id="stack global"),
        pytest.param(b"(S'touch /x/y'\niposix\nsystem\n.", id="inst"),
        pytest.param(b"\x80\x02c__builtin__\neval\nX\x01\x00\x00\x001\x85R.", id="python 2 name"),
        pytest.param(b"\x80\x02ccommands\ngetoutput\nX\x01\x00\x00\x00w\x85R.", id="python 2 module"),
    ],
)
def test_names_in_other_spellings_are_refused_too(hidden: bytes, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("archive/data.pkl", hidden)
        archive.writestr("archive/version", "3\n")
    with pytest.raises(ValueError, match=r"w\.pth: names '(posix.system|builtins.eval|subprocess.getoutput)'"):
        torch_files.read(tmp_path / "w.pth")


def test_broken_files_are_named(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    for legacy in (False, True):
        torch.save({"state_dict": net().state_dict()}, path, _use_new_zipfile_serialization=not legacy)
        whole = path.read_bytes()
        for length in (0, 1, 5, 30, 100, len(whole) // 2, len(whole) - 40):
            path.write_bytes(whole[:length])
            with pytest.raises(ValueError, match=r"w\.pth: is (empty|damaged|not a checkpoint|a pickle)"):
                load_checkpoint(net(), path)
    for content, message in (
        (b"<!DOCTYPE html><html>", "is not a checkpoint of torch.save: it starts with b'<!DOCTYPE"),
        (pickle.dumps({"a": 1}), "is a pickle, but not of torch.save"),
        (b"\x80\x02r\xff\xff\xff\xff.", "is damaged"),
        (b"\x80\x02\x8b\xff\xff\xff\x7f", "is damaged"),
        (b"\x80\x02" + b"(" * 100_000 + b"l" * 100_000 + b".", "is a pickle|is damaged"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=rf"w\.pth: {message}"):
            load_checkpoint(net(), path)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match=r"w\.pth: is a zip archive, but not a checkpoint"):
        load_checkpoint(net(), path)
    torch.jit.trace(nn.Linear(2, 2), torch.ones(1, 2)).save(str(path))
    with pytest.raises(ValueError, match=r"w\.pth: is a TorchScript program"):
        load_checkpoint(net(), path)
    with pytest.raises(FileNotFoundError, match="is a folder"):
        load_checkpoint(net(), tmp_path)


def test_damaged_bytes_never_end_in_another_error(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    rng = np.random.default_rng(0)
    for legacy in (False, True):
        torch.save(
            {"meta": {"a": [1, "x"]}, "state_dict": net().state_dict()}, path, _use_new_zipfile_serialization=not legacy
        )
        whole = np.frombuffer(path.read_bytes(), np.uint8)
        for _ in range(150):
            damaged = whole.copy()
            places = rng.integers(0, min(len(damaged), 2000), 5)
            damaged[places] = rng.integers(0, 256, 5)
            path.write_bytes(damaged.tobytes())
            try:
                load_checkpoint(net(), path)
            except ValueError as error:
                assert "w.pth" in str(error)


def test_a_version_that_zipfile_does_not_know(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({"state_dict": net().state_dict()}, path)
    content = bytearray(path.read_bytes())
    content[content.rindex(b"PK\x01\x02") + 6] = 200
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"w\.pth: is damaged .*version"):
        load_checkpoint(net(), path)


def test_a_compressed_archive_is_read_not_mapped(tmp_path: Path) -> None:
    source, target = net(), net()
    torch.save(source.state_dict(), tmp_path / "w.pth")
    with (
        zipfile.ZipFile(tmp_path / "w.pth") as stored,
        zipfile.ZipFile(tmp_path / "packed.pth", "w", zipfile.ZIP_DEFLATED) as packed,
    ):
        for name in stored.namelist():
            packed.writestr(name, stored.read(name))
    load_checkpoint(target, tmp_path / "packed.pth", strict=True)
    assert same(target, source.state_dict())
