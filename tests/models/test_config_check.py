"""``rotx config check``: the detector of a config, its plug-ins, and what it refuses."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from rotx.cli import main
from small import CONFIGS

RETINANET = CONFIGS / "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py"

PLUGIN = """
from pathlib import Path

from torch import nn

import rotx

Path(__file__).with_name("ran").touch()


@rotx.register
class {name}(nn.Module):
    def __init__(self, *, width, **settings):
        super().__init__()
        self.num_classes = 1
        self.layer = nn.Linear(width, 10)

    def decode(self, raw, batch):
        return []

    def suppress(self, candidates):
        return []
"""


def check(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["config", "check", *map(str, arguments)])


@pytest.fixture
def plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module on the path that registers a head of its own name; and a config that uses it."""
    name = f"Head_{tmp_path.name}".replace("-", "_")
    module = f"plugin_{tmp_path.name}".replace("-", "_")
    (tmp_path / f"{module}.py").write_text(PLUGIN.format(name=name))
    head = f"model = dict(bbox_head=dict(_delete_=True, type='{name}', width=100))"
    (tmp_path / "own.py").write_text(f"_base_ = {str(RETINANET)!r}\n{head}\n")
    (tmp_path / "trusting.py").write_text(f"_base_ = 'own.py'\ncustom_imports = dict(imports=['{module}'])\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield module
    sys.modules.pop(module, None)


def test_says_what_the_detector_is() -> None:
    result = check(RETINANET, "--cfg-options", "model.bbox_head.num_classes=3")
    assert result.exit_code == 0
    assert result.output.startswith("RetinaNet: ") and "225,344 of them frozen" in result.output
    assert "RetinaHead" in result.output


def test_a_plugin_is_imported(tmp_path: Path, plugin: str) -> None:
    result = check(tmp_path / "own.py", "--plugin", plugin)
    assert result.exit_code == 0 and "1,010" in result.output


def test_imports_of_a_config_need_trust(tmp_path: Path, plugin: str) -> None:
    result = check(tmp_path / "trusting.py")
    assert result.exit_code == 2 and "trusting.py" in result.output and "--trust-config" in result.output
    assert not (tmp_path / "ran").exists()
    assert check(tmp_path / "trusting.py", "--trust-config").exit_code == 0
    assert (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([RETINANET, "--plugin", "no_such_module"], "no_such_module"),
        ([RETINANET, "--cfg-options", "model.backbone.depth=49"], "model.backbone (ResNet): depth"),
        ([RETINANET, "--cfg-options", "model.bbox_head.num_class=3"], "num_classes"),
        ([RETINANET, "--cfg-options", "+model.bbox_head.feat_channel=3"], "did you mean 'feat_channels'"),
        ([CONFIGS / "_base_/schedules/schedule_1x.py"], "has no model"),
        (["no_such_file.py"], "no_such_file.py"),
    ],
)
def test_mistakes_are_one_line(arguments: list[object], message: str) -> None:
    result = check(*arguments)
    assert result.exit_code == 2
    assert message in result.output and len(result.output.strip().splitlines()) == 1
    assert "Traceback" not in result.output


UNKNOWN = {
    "S2ANet": "backbone=dict(type='Own')",
    "mmdet.RTMDet": "train_cfg=dict(assigner=dict(type='mmdet.DynamicSoftLabelAssigner'))",
    "ReDet": "backbone=dict(type='ReResNet')",
    "mmrotate.H2RBoxDetector": "bbox_head=dict(type='H2RBoxHead')",
    "YOLOX": "data_preprocessor=dict(type='Own')",
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_detector_is_named_before_its_parts(name: str, tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(f"model = dict(type={name!r}, {UNKNOWN[name]})\n")
    result = check(tmp_path / "own.py")
    assert result.exit_code == 2 and f"model.type {name!r} is not among the detectors of rotx: " in result.output
    assert "RetinaNet" in result.output and "docs/models.md" in result.output
