"""From a config and a checkpoint to a predictor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rotx.datasets.image_pipeline import pipeline_of
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
    """Loads a trained detector, ready for images.

    Images pass the test pipeline of the config: that of ``test_dataloader``, else of ``val_dataloader``. Neither file
    is executed: the config is parsed, and only tensors and plain values are read from the checkpoint.

    Args:
        config_file: Config of rotx or of MMRotate 0.x or 1.x.
        checkpoint: Weights, written by rotx or by MMRotate.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...; ``"auto"`` takes a GPU if there is one.
        options: Changes of the config, such as ``"model.test_cfg.score_thr=0.1"``.
        plugins: Modules to import that register what the config names.
        trust_config: Whether to import what ``custom_imports`` of the config names.
        amp: Whether to compute with autocast, in float16 on CUDA and bfloat16 on the CPU.

    Raises:
        ValueError: For a config or checkpoint that cannot be read, for two that do not belong together, for a test
            pipeline that cannot be undone, and for a device that does not exist.
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
    return Predictor(trained.detector, trained.classes, device=trained.device, pipeline=pipeline, amp=amp)
