"""Settings of heads: where MMRotate's configs keep them, and which part gets them."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rotx import registry
from rotx.cli import main
from rotx.compat import format_parts, load_config, own_model, to_parts
from rotx.config import ConfigError
from rotx.models import build_detector

CONFIGS = Path(__file__).parents[2] / "configs"
MODELS = sorted(file for file in CONFIGS.rglob("*.py") if "_base_" not in file.parts)
CASCADE = CONFIGS / "roi_trans/roi-trans-le90_r50_fpn_1x_dota.py"
RETINA = CONFIGS / "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py"

ASSIGNER = {"type": "MaxIoUAssigner", "pos_iou_thr": 0.5, "neg_iou_thr": 0.4}
TEST = {"nms_pre": 2000, "min_bbox_size": 0, "score_thr": 0.05, "nms": {"type": "nms_rotated"}, "max_per_img": 2000}
LEARN = {"assigner": ASSIGNER, "allowed_border": -1, "pos_weight": -1, "debug": False}


@pytest.fixture
def toys() -> Any:
    """Classes of the kinds of detectors that come without a class of their own here."""
    before = dict(registry._registered)

    class ToyRefining:
        def __init__(self, *, bbox_head_init: Any, bbox_head_refine: Any, stage_loss_weights: Any) -> None:
            self.parts = {"init": bbox_head_init, "refine": bbox_head_refine, "weights": stage_loss_weights}

    class ToyMasks:
        def __init__(self, *, rpn_head: Any, roi_head: Any) -> None:
            self.parts = {"rpn": rpn_head, "roi": roi_head}

    class ToyPoints:
        def __init__(self, *, bbox_head: Any) -> None:
            self.parts = {"head": bbox_head}

    class ToyPart:
        def __init__(self, **settings: Any) -> None:
            self.settings = settings

    for toy in (ToyRefining, ToyMasks, ToyPoints, ToyPart):
        registry.register(toy)
    yield
    registry._registered.clear()
    registry._registered.update(before)


def test_a_head_for_each_refinement(toys: Any) -> None:
    """As R3Det and S2ANet have it."""
    heads = [{"type": "ToyPart", "frm": 1}, {"type": "ToyPart", "frm": 2}]
    train = {"init": LEARN, "refine": [{**LEARN, "pos_weight": 1}, {**LEARN, "pos_weight": 2}]}
    model = {
        "type": "mmdet.ToyRefining",
        "bbox_head_init": {"type": "ToyPart"},
        "bbox_head_refine": heads,
        "train_cfg": {**train, "stage_loss_weights": [1.0, 0.5]},
        "test_cfg": TEST,
    }
    parts = to_parts(own_model(model))
    learn = {"assigner": ASSIGNER, "allowed_border": -1}
    assert parts == {
        "type": "mmdet.ToyRefining",
        "bbox_head_init": {"type": "ToyPart", **learn, "pos_weight": -1, **TEST},
        "bbox_head_refine": [
            {"type": "ToyPart", "frm": 1, **learn, "pos_weight": 1, **TEST},
            {"type": "ToyPart", "frm": 2, **learn, "pos_weight": 2, **TEST},
        ],
        "stage_loss_weights": [1.0, 0.5],
    }
    with pytest.raises(
        ConfigError, match=r"^model\.train_cfg\.refine: need 2 dicts, one for each of model\.bbox_head_re"
    ):
        own_model({**model, "train_cfg": {"init": LEARN, "refine": [LEARN]}})
    with pytest.raises(ConfigError, match=r"^model\.train_cfg\.refine: need a list with one dict for each stage"):
        own_model({**model, "train_cfg": {"init": LEARN, "refine": LEARN}})
    with pytest.raises(
        ConfigError, match=r"train_cfg: has no part 'rcnn' in a refining .*known are init, refine, stage_l"
    ):
        own_model({**model, "train_cfg": {**train, "rcnn": {}}})


def test_one_head_with_two_stages(toys: Any) -> None:
    """As RepPoints has it."""
    refine = {**LEARN, "pos_weight": 2}
    train = {"init": LEARN, "refine": refine}
    model = {"type": "ToyPoints", "bbox_head": {"type": "ToyPart"}, "train_cfg": train, "test_cfg": TEST}
    assert to_parts(own_model(model))["bbox_head"] == {
        "type": "ToyPart",
        **{f"init_{key}": value for key, value in LEARN.items() if key != "debug"},
        **{f"refine_{key}": value for key, value in refine.items() if key != "debug"},
        **TEST,
    }


def test_masks_in_the_second_stage(toys: Any) -> None:
    """As Mask R-CNN has it."""
    proposals = {"nms_pre": 1000, "max_per_img": 1000, "nms": {"type": "nms", "iou_threshold": 0.7}, "min_bbox_size": 0}
    rcnn = {"assigner": ASSIGNER, "mask_size": 28, "pos_weight": -1, "debug": False}
    model = {
        "type": "ToyMasks",
        "rpn_head": {"type": "ToyPart"},
        "roi_head": {"type": "ToyPart", "mask_head": {"type": "ToyPart", "num_convs": 4}},
        "train_cfg": {"rpn": LEARN, "rcnn": rcnn},
        "test_cfg": {"rpn": proposals, "rcnn": {"score_thr": 0.05, "nms_pre": 9, "mask_thr_binary": 0.5}},
    }
    parts = to_parts(own_model(model))
    assert parts["roi_head"] == {
        **model["roi_head"],
        "assigner": ASSIGNER,
        "mask_size": 28,
        "pos_weight": -1,
        "score_thr": 0.05,
        "mask_thr_binary": 0.5,
    }
    both = {key: {"type": "Proposals", **proposals} for key in ("train_proposals", "test_proposals")}
    assert parts["rpn_head"] == {
        "type": "ToyPart",
        "assigner": ASSIGNER,
        "allowed_border": -1,
        "pos_weight": -1,
        **both,
    }


@pytest.mark.parametrize("file", MODELS, ids=lambda file: file.stem)
def test_the_tree_names_every_part(file: Path) -> None:
    model = load_config(file)["model"]
    text = format_parts(model)
    names = re.findall(r"^ *[\w\[\]]+: (\w+)$", text, re.MULTILINE)
    types = re.findall(r"'type': '(?:\w+\.)?(\w+)'", repr(model))
    # Heads that refine each other's boxes share one suppression.
    types += ["nms_rotated"] * len(model.get("bbox_head_refine", []))
    # Proposals have no type in a config.
    assert sorted(name for name in names if name != "Proposals") == sorted(types)
    assert "train_cfg" not in text and "test_cfg" not in text and text == format_parts(model)
    assert all(len(line) <= 110 for line in text.splitlines())


def test_the_tree_is_what_is_built() -> None:
    model = load_config(CASCADE)["model"] | {"backbone": {"type": "ResNet", "depth": 18}}
    detector = build_detector(
        model | {"neck": {**load_config(CASCADE)["model"]["neck"], "in_channels": [64, 128, 256, 512]}}
    )
    head = re.split(r"^  (?=\w)", format_parts(model), flags=re.MULTILINE)[-1]
    assert head.startswith("roi_head: CascadeRoIHead\n") and "pos_weight=[-1, -1], score_thr=0.05" in head
    assert detector.roi_head.score_thr == 0.05 and len(detector.roi_head.assigner) == 2
    assert "assigner[1]: MaxIoUAssigner" in head and "nms: nms_rotated\n        iou_threshold=0.1" in head


def test_config_show_parts(tmp_path: Path) -> None:
    shown = CliRunner().invoke(
        main, ["config", "show", str(RETINA), "--parts", "--cfg-options", "model.neck.num_outs=7"]
    )
    assert shown.exit_code == 0 and shown.output.startswith(
        "model: RetinaNet\n  data_preprocessor: DetDataPreprocessor\n"
    )
    assert "    assigner: MaxIoUAssigner\n        pos_iou_thr=0.5, neg_iou_thr=0.4" in shown.output
    assert "num_outs=7" in shown.output
    out = tmp_path / "parts.txt"
    CliRunner().invoke(main, ["config", "show", str(RETINA), "--parts", "--out", str(out)])
    assert out.read_text() == shown.output.replace("num_outs=7", "num_outs=5")
    none = CliRunner().invoke(main, ["config", "show", str(CONFIGS / "_base_/schedules/schedule_1x.py"), "--parts"])
    assert none.exit_code == 2 and "has no model" in none.output


def test_showing_parts_imports_no_torch() -> None:
    code = (
        "import sys; from rotx.compat import format_parts, load_config\n"
        f"format_parts(load_config({str(CASCADE)!r})['model'])\n"
        "print({'torch', 'numpy'} & set(sys.modules) or '')"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
