"""From a config to a trainer that is ready for its first step; mistakes are found here, before it."""

from __future__ import annotations

import copy
import logging
import os
import platform
import sys
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch.optim import Optimizer

from rotx import config as configs
from rotx.annotations.classes import first_names
from rotx.atomic import write_text
from rotx.compat import build
from rotx.datasets.loader import check_shared_memory
from rotx.engine import checkpoints, distributed
from rotx.engine.distributed import World
from rotx.engine.ema import build_ema
from rotx.engine.log import Log
from rotx.engine.optim import build_optimizer
from rotx.engine.schedule import build_schedule
from rotx.engine.settings import Settings, num_classes_paths, read_settings
from rotx.engine.trainer import Trainer, seed_all
from rotx.evaluation.detect import evaluate_detector
from rotx.evaluation.metrics import build_metric
from rotx.models import build_detector, load_checkpoint
from rotx.models.detectors import Detector
from rotx.models.processes import sync_batch_norms

logger = logging.getLogger(__name__)


def train(config: Mapping[str, Any], work_dir: str | Path, device: str = "auto") -> None:
    """Trains a detector, in this process or together with those that torchrun or srun started.

    Messages go to the loggers ``rotx.…``, those about the course of the training at level INFO.

    Args:
        config: Config as :func:`rotx.compat.load_config` returns it; with ``resume`` or ``load_from``, training starts
            from a checkpoint.
        work_dir: Folder for checkpoints, logs, the config and ``environment.json``.
        device: ``auto``, ``cpu`` or ``cuda``.

    Raises:
        ValueError: Before the first step, if the config, data or checkpoint is invalid, or they do not match.
        OSError: If a file cannot be read or written.
        NotFinite: If a loss or gradient is not finite.
        Interrupted: After SIGINT or SIGTERM, once the checkpoint is saved.
    """
    settings, folder = read_settings(config), Path(work_dir)
    world = distributed.start(device)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        report = folder if world.first else None
        with Log(report, interval=settings.log_interval, tensorboard=settings.tensorboard) as log:
            prepare(settings, config, folder, world, log).run()
    finally:
        distributed.stop()


def prepare(settings: Settings, config: Mapping[str, Any], work_dir: Path, world: World, log: Log) -> Trainer:
    """Builds everything that takes part in training and checks that it fits together."""
    found = _checkpoint(settings, work_dir, world)
    for notice in settings.notices:
        logger.warning(notice)
    _set_up_torch(settings)
    seed_all(settings.seed)
    detector = build_detector(settings.model)
    train_set, val_set = _datasets(settings, detector)
    metric = None if val_set is None else build_metric(settings.evaluator, "val_evaluator")
    _check_memory(settings, train_set, val_set)
    sampler, epoch_length = _sampler(settings, train_set, world)
    _set_weights(settings, detector, found, world)
    if settings.sync_bn and world.size > 1:
        if world.device.type == "cuda":
            sync_batch_norms(detector)
        else:
            logger.warning("sync_bn: ignored: only GPUs can normalise over the images of all processes")
    detector.to(world.device)
    distributed.share_weights(detector, world)
    optimization = build_optimizer(detector, _scaled(settings, world))
    for notice in optimization.notices:
        logger.warning(notice)
    schedule = build_schedule(settings.param_scheduler, epoch_length=epoch_length)
    ema = (
        None
        if settings.ema is None
        else build_ema(detector, settings.ema, epoch_length=epoch_length, where="custom_hooks: EMAHook")
    )
    trainer = Trainer(
        settings=settings,
        detector=detector,
        optimization=optimization,
        schedule=schedule,
        ema=ema,
        train_set=train_set,
        sampler=sampler,
        val_set=val_set,
        metric=metric,
        world=world,
        work_dir=work_dir,
        log=log,
        meta=_meta(config, train_set.classes),
    )
    if found is not None:
        _restore(trainer, *found, epoch_length)
    if val_set is not None:
        _try_validation(trainer)
    if world.first:
        _write_surroundings(work_dir, config, world)
    log.begin(settings.length * (epoch_length if settings.by_epoch else 1), trainer.at.step)
    return trainer


def _checkpoint(settings: Settings, work_dir: Path, world: World) -> tuple[Path, dict[str, Any]] | None:
    """The checkpoint to resume from and its content; None for a new training."""
    # torchrun starts all processes again when one of them died.
    restarted = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0)) > 0
    if settings.resume_from and not restarted:
        return Path(settings.resume_from), checkpoints.read(settings.resume_from)
    if settings.resume or restarted:
        found = checkpoints.newest(work_dir)
        if len(set(distributed.gather(None if found is None else found[0].name, world))) > 1:
            raise ValueError(f"{work_dir}: the processes see different checkpoints in it: it must be on a shared drive")
        if found is None and settings.resume_from:
            return Path(settings.resume_from), checkpoints.read(settings.resume_from)
        if found is None and not restarted:
            logger.info("%s: has no checkpoint to resume from; a new training begins", work_dir)
        return found
    # All processes must have looked before the first one writes.
    old: list[Path] = next(filter(None, distributed.gather(checkpoints.numbered(work_dir), world)), [])
    if old:
        raise ValueError(
            f"{work_dir}: holds checkpoints of an earlier training, such as {old[0].name}: resume it with --resume, "
            "or give another --work-dir"
        )
    return None


def _set_up_torch(settings: Settings) -> None:
    torch.backends.cudnn.benchmark = settings.cudnn_benchmark and not settings.deterministic
    if settings.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True, warn_only=True)


def _datasets(settings: Settings, detector: Detector) -> tuple[Any, Any]:
    """The images to train with and to validate; checks that their classes are those of the model."""
    train_set = build(settings.train.dataset, "train_dataloader.dataset")
    val_set = None if settings.val is None else build(settings.val.dataset, "val_dataloader.dataset")
    for dataset in filter(None, (train_set, val_set)):
        for notice in dataset.notices:
            logger.warning(notice)
    number, classes = detector.num_classes, train_set.classes
    if number != len(classes):
        where = " and ".join(num_classes_paths(settings.model)) or "model"
        raise ValueError(
            f"{where}: the model has {number} classes, but train_dataloader.dataset has {len(classes)} "
            f"{first_names(classes)}: set num_classes={len(classes)} there, or the names with "
            "metainfo=dict(classes=...) here"
        )
    if val_set is not None and val_set.classes != classes:
        raise ValueError(
            f"val_dataloader.dataset: its classes {first_names(val_set.classes)} are not those of the training, "
            f"{first_names(classes)}: give both the same metainfo=dict(classes=...)"
        )
    if train_set.test_mode:
        raise ValueError("train_dataloader.dataset.test_mode: must be False: test mode leaves objects out of batches")
    if val_set is not None and not val_set.test_mode:
        raise ValueError("val_dataloader.dataset.test_mode: must be True: else images and objects are left out")
    return train_set, val_set


def _check_memory(settings: Settings, train_set: Any, val_set: Any) -> None:
    """Checks the shared memory for the workers that load images; those of training live on while others validate."""
    taken, here = 0, distributed.processes_here()
    for dataset, loader in ((train_set, settings.train), (val_set, settings.val)):
        if loader is not None:
            taken += check_shared_memory(dataset, loader.batch_size, loader.num_workers, processes=here, taken=taken)


def _sampler(settings: Settings, train_set: Any, world: World) -> tuple[Any, int]:
    """The sampler of the training images, and the number of batches of an epoch in this process."""
    sampler = build(settings.train.sampler, "train_dataloader.sampler")
    first = {"seed": settings.seed, "epoch": 0, "rank": world.rank, "world": world.size}
    epoch_length = len(sampler.batches(train_set, settings.train.batch_size, **first))
    if not epoch_length:
        raise ValueError(f"train_dataloader: its {len(train_set)} images make no batch: set a smaller batch_size")
    if len(set(distributed.gather(epoch_length, world))) > 1:
        raise ValueError("train_dataloader.sampler: the processes get different numbers of batches: set round_up=True")
    return sampler, epoch_length


def _set_weights(
    settings: Settings, detector: Detector, found: tuple[Path, dict[str, Any]] | None, world: World
) -> None:
    """Sets the weights to start from; those of a new training in the first process only, which shares them."""
    if found is not None:
        path, content = found
        weights = content.get("ema_state_dict") or content["state_dict"]
        checkpoints.check_fits(path, weights, detector.state_dict())
        detector.load_state_dict(weights)
    elif world.first:
        detector.init_weights()
        if settings.load_from is not None:
            report = load_checkpoint(detector, settings.load_from)
            if not report.complete:
                logger.warning(str(report))


def _scaled(settings: Settings, world: World) -> Mapping[str, Any]:
    """``optim_wrapper`` with the learning rate scaled to the images of a step (Goyal et al. 2017), if wanted."""
    wrapper = settings.optim_wrapper
    if settings.base_batch_size is None:
        return wrapper
    try:
        counts, optimizer = wrapper.get("accumulative_counts", 1), dict(wrapper["optimizer"])
        images = settings.train.batch_size * world.size * counts
        rate = optimizer["lr"] * images / settings.base_batch_size
    except (KeyError, TypeError, ValueError):
        return wrapper  # building it reports what is wrong
    base = settings.base_batch_size
    logger.info("lr %g is for %d images a step; for %d it is %g", optimizer["lr"], base, images, rate)
    return {**wrapper, "optimizer": {**optimizer, "lr": rate}}


def _restore(trainer: Trainer, path: Path, content: Mapping[str, Any], epoch_length: int) -> None:
    """Puts a trainer where a checkpoint was written; logs what has changed since."""
    _restore_optimizer(trainer.optimizer, path, content)
    if trainer.ema is not None:
        trainer.ema.load_state_dict(content["state_dict"])
    if trainer.scaler.is_enabled() and content.get("scaler"):
        trainer.scaler.load_state_dict(content["scaler"])
    at = trainer.at = checkpoints.position_of(content, path)
    settings, world = trainer.settings, trainer.world
    old, new = content.get("seed"), settings.seed
    if old != new:
        logger.warning("%s: was trained with seed %s, now it is %s: the order of images changes here", path, old, new)
    old = int(content.get("batch_size", settings.train.batch_size)) * int(content.get("world", world.size))
    new = settings.train.batch_size * world.size
    if old != new:
        logger.warning(
            "%s: had %d images a step in all processes, now it is %d: the learning rate is the config's", path, old, new
        )
    old = int(content.get("epoch_length", epoch_length))
    if old != epoch_length:
        logger.warning(
            "%s: an epoch had %d steps, now it has %d: resuming at the same part of the epoch", path, old, epoch_length
        )
        at.batches = at.batches * epoch_length // old
        if settings.by_epoch:
            at.step = at.epoch * epoch_length + at.batches
    trainer.saved_step = at.step
    if trainer.finished:
        logger.info("%s: the training is complete: to train longer set another train_cfg", path)
    else:
        logger.info("resuming from %s: epoch %d, step %d", path, at.epoch + 1, at.step)


def _restore_optimizer(optimizer: Optimizer, path: Path, content: Mapping[str, Any]) -> None:
    """Loads the state of an optimizer from a checkpoint; learning rate, decay and so on stay those of the config."""
    options = [{key: value for key, value in group.items() if key != "params"} for group in optimizer.param_groups]
    theirs, ours = content.get("optimizer_type"), type(optimizer).__name__
    try:
        if theirs not in (None, ours):
            raise ValueError(f"it is {theirs}, not {ours}")
        # A copy: the content is a view of the file.
        optimizer.load_state_dict(copy.deepcopy(content["optimizer"]))
    except ValueError as error:
        raise ValueError(
            f"{path}: its optimizer is not this config's ({error}): set load_from, without resume"
        ) from None
    before, now = optimizer.param_groups[0].get("initial_lr"), options[0]["initial_lr"]
    if before != now:
        logger.warning("%s: was trained with lr %s, now it is %s", path, before, now)
    for group, own in zip(optimizer.param_groups, options, strict=True):
        group.update(own)


def _try_validation(trainer: Trainer) -> None:
    """Validates on one batch, so that what would fail after the first epoch fails now."""
    batch = copy.copy(trainer.val_set)
    settings = trainer.settings.val
    assert settings is not None
    batch.records = batch.records[: settings.batch_size * trainer.world.size]
    evaluation, _ = evaluate_detector(
        trainer.detector,
        batch,
        trainer.metric,
        device=trainer.world.device,
        batch_size=settings.batch_size,
        num_workers=0,
        progress=False,
    )
    metrics = trainer.metric.headline(evaluation)
    trainer.best_metric(metrics)


def _meta(config: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    versions = {"rotx_version": version("rotx"), "torch_version": str(torch.__version__)}
    return {"dataset_meta": {"classes": tuple(classes)}, "config": configs.dumps(config), **versions}


def _write_surroundings(work_dir: Path, config: Mapping[str, Any], world: World) -> None:
    """``config.py`` and ``environment.json``."""
    import json

    environment = {
        "rotx": version("rotx"),
        "python": sys.version.split()[0],
        "system": platform.platform(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version() if torch.cuda.is_available() else None,  # type: ignore[no-untyped-call]
        "gpu": torch.cuda.get_device_name(world.device) if world.device.type == "cuda" else None,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "threads": torch.get_num_threads(),
        "processes": world.size,
        "command": sys.argv,
    }
    write_text(work_dir / "config.py", configs.dumps(config))
    write_text(work_dir / "environment.json", json.dumps(environment, indent=2) + "\n")
