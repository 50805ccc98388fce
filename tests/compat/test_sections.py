"""Top-level names: a misspelt setting is an error, a variable is none. And the keys of the sections."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from rotx.cli import main
from rotx.compat import load_config
from rotx.compat.sections import check_sections
from rotx.config import ConfigError

RETINA = Path(__file__).parents[2] / "configs/rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota.py"


def write(folder: Path, text: str) -> Path:
    (folder / "own.py").write_text(f"_base_ = {str(RETINA)!r}\n{text}\n")
    return folder / "own.py"


@pytest.mark.parametrize(
    ("text", "right"),
    [
        ("optim_wraper = dict(optimizer=dict(lr=0.1))", "optim_wrapper"),
        ("modle = dict(bbox_head=dict(num_classes=3))", "model"),
        ("test_dataloder = dict(batch_size=1)", "test_dataloader"),
        ("test_evaluater = dict(type='DOTAMetric')", "test_evaluator"),
        ("load_form = 'weights.pth'", "load_from"),
        ("resme = True", "resume"),
        ("custom_hook = [dict(type='EMAHook')]", "custom_hooks"),
        ("param_schedulers = []", "param_scheduler"),
        ("evalution = dict(interval=1, metric='mAP')", "evaluation"),  # of 0.x
    ],
)
def test_a_misspelt_name_is_an_error(text: str, right: str, tmp_path: Path) -> None:
    name = text.partition(" ")[0]
    with pytest.raises(ConfigError, match=rf"own\.py: {name}: did you mean '{right}'\?"):
        load_config(write(tmp_path, text))
    shown = CliRunner().invoke(main, ["config", "show", str(tmp_path / "own.py")])
    assert shown.exit_code == 2 and right in shown.output


@pytest.mark.parametrize(
    "text",
    [
        "angle_version = 'oc'\ndata_root2 = 'data/'\nmodel_1 = dict(a=1)\nmean = [1, 2]",
        "train_pipelines = [dict(type='LoadImageFromFile')]",
        # Close to train_cfg and model, and used.
        "trian_cfg = dict(pos_weight=2)\nmodel = dict(train_cfg=trian_cfg)",
        "models = dict(type='ResNet', depth=18)\nmodel = dict(backbone=dict(_delete_=True, **models))\nx = [models]",
    ],
)
def test_a_variable_is_none(text: str, tmp_path: Path) -> None:
    assert load_config(write(tmp_path, text))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"default_hooks": {"timer": {"type": "IterTimerHook", "intervl": 1}}},
            r"default_hooks\.timer: has no 'intervl'",
        ),
        (
            {"default_hooks": {"visualization": {"type": "DetVisualizationHook", "draw": True}}},
            r"draw: need False, got True",
        ),
        ({"default_hooks": {"logger": {"interval": "50"}}}, r"default_hooks\.logger\.interval: need a whole number"),
        ({"env_cfg": {"mp_cfg": {"opencv_num_thread": 0}}}, r"env_cfg\.mp_cfg: .*did you mean 'opencv_num_threads'"),
        ({"log_processor": {"window_sise": 50}}, r"log_processor: has no 'window_sise': did you mean 'window_size'"),
        ({"visualizer": {"nmae": "x"}}, r"visualizer: has no 'nmae': did you mean 'name'"),
        (
            {"vis_backends": [{"type": "LocalVisBackend", "save_dirr": "x"}]},
            r"vis_backends\.0: .*did you mean 'save_dir'",
        ),
        ({"custom_hooks": [{"type": "NumClassCheckHook", "x": 1}]}, r"custom_hooks\.0: has no 'x'"),
        ({"val_evaluator": {"type": "DOTAMetric", "metrics": "mAP"}}, r"val_evaluator: DOTAMetric takes no 'metrics'"),
        (
            {"test_dataloader": {"dataset": {"type": "DOTADataset", "pipeline": [{"type": "Resize", "scales": 3}]}}},
            r"test_dataloader\.dataset\.pipeline\.0: Resize takes no 'scales': did you mean 'scale'",
        ),
        (
            {
                "train_dataloader": {
                    "dataset": {"type": "RepeatDataset", "dataset": {"type": "DOTADataset", "anfile": 1}}
                }
            },
            r"train_dataloader\.dataset\.dataset: .*takes no 'anfile': did you mean 'ann_file'",
        ),
        (
            {"train_dataloader": {"sampler": {"type": "DefaultSampler", "shufle": 1}}},
            r"sampler: .*did you mean 'shuffle'",
        ),
    ],
)
def test_keys_of_the_sections(part: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        check_sections(part)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ("+train_dataloader.dataset.pipline=[]", "did you mean 'pipeline'"),
        ("+optim_wrapper.optimizer.momentm=0.5", "did you mean 'momentum'"),
        ("+param_scheduler.0.ends=3", "did you mean 'end'"),
        ("+test_evaluator.iou_thrrs=3", "did you mean 'iou_thrs'"),
        ("+default_hooks.checkpoint.max_keep_ckpt=3", "did you mean 'max_keep_ckpts'"),
    ],
)
def test_config_check_looks_at_every_section(option: str, message: str) -> None:
    result = CliRunner().invoke(main, ["config", "check", str(RETINA), "--cfg-options", option])
    assert result.exit_code == 2 and message in result.output and len(result.output.strip().splitlines()) == 1
