"""Loads a predictor from a config and a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotx.datasets.image_pipeline import pipeline_of
from rotx.evaluation.metrics import merge_iou
from rotx.inference.predictor import Predictor
from rotx.models.loading import load_detector


def load(
    config_file: str | Path,
    checkpoint: str | Path,
    device: str = "auto",
    *,
    options: Sequence[str] = (),
    plugins: Sequence[str] = (),
    trust_config: bool = False,
    amp: bool = False,
) -> Predictor:
    """Loads a trained detector with its test pipeline.

    The test pipeline is that of the config's ``test_dataloader``, or else ``val_dataloader``. Neither file is executed:
    the config is parsed, and only tensors and plain values are read from the checkpoint.

    Args:
        config_file: Config of rotx or of MMRotate 0.x or 1.x.
        checkpoint: Checkpoint written by rotx or MMRotate.
        device: Device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; ``"auto"`` uses a GPU if there is one.
        options: Overrides of config values, such as ``"model.test_cfg.score_thr=0.1"``.
        plugins: Modules to import, which register further types that the config uses.
        trust_config: Whether to import the modules in ``custom_imports`` of the config.
        amp: Whether to use autocast, with float16 on CUDA and bfloat16 on the CPU.

    Raises:
        ValueError: If the config or checkpoint cannot be read, they do not match, the test pipeline cannot be undone,
            or the device does not exist.
        OSError: If a file cannot be opened.
        ImportError: If a plug-in is not found.
    """
    trained = load_detector(
        config_file, checkpoint, device, options=options, plugins=plugins, trust_config=trust_config
    )
    try:
        pipeline = pipeline_of(trained.settings)
    except ValueError as error:
        raise ValueError(f"{config_file}: {error}") from error
    detector = trained.detector
    iou = merge_iou(trained.settings, detector.nms_iou)
    return Predictor(detector, trained.classes, device=trained.device, pipeline=pipeline, amp=amp, merge_iou=iou)
