"""The training loop: from images to weights. Interrupted training resumes exactly where it stopped."""

from __future__ import annotations

import logging
import math
import random
import sys
import time
from collections import Counter
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rotx.datasets.loader import LoadedImage, Loader, build_loader
from rotx.datasets.samplers import Draw
from rotx.datasets.workers import WorkerKilled
from rotx.engine import distributed, guard
from rotx.engine.checkpoints import CheckpointManager, Position
from rotx.engine.distributed import World
from rotx.engine.ema import EMA
from rotx.engine.failed import StepFailed
from rotx.engine.guard import NonFiniteGuard, NotFinite
from rotx.engine.launched import LaunchedStep, Window
from rotx.engine.log import Log
from rotx.engine.optim import Optimization
from rotx.engine.schedule import Schedule
from rotx.engine.settings import Settings
from rotx.engine.signals import Interrupted, Signals
from rotx.evaluation.detect import evaluate_detector
from rotx.models import Batch
from rotx.models.detectors import Detector, total_loss
from rotx.records import Instances

logger = logging.getLogger(__name__)


class Trainer:
    """Everything that takes part in training, and the loop over it.

    :func:`rotx.engine.setup.prepare` makes one from a config. The random numbers of a step depend on the seed, the
    number of the step and the rank alone, so checkpoints hold no random state.

    The loop never waits for the step that it has just launched: it reads the losses of a step when the next one has
    been launched. Before anything is saved or validated, it reads those of the last step, too (`settle`), so that no
    checkpoint holds weights from after a loss that is not finite.
    """

    def __init__(
        self,
        *,
        settings: Settings,
        detector: Detector,
        optimization: Optimization,
        schedule: Schedule,
        ema: EMA | None,
        train_set: Any,
        sampler: Any,
        val_set: Any = None,
        metric: Any = None,
        world: World,
        work_dir: Path,
        log: Log,
        meta: Mapping[str, Any],
        position: Position | None = None,
    ) -> None:
        self.settings, self.detector, self.world = settings, detector, world
        self.optimization, self.optimizer = optimization, optimization.optimizer
        self.schedule, self.ema = schedule, ema
        self.train_set, self.sampler = train_set, sampler
        self.val_set, self.metric = val_set, metric
        self.work_dir, self.log, self.meta = work_dir, log, meta
        self.checkpoints = CheckpointManager(work_dir, settings.keep)
        self.at = position or Position()
        self.model = _distributed(detector, settings, world)
        self.scaler = _scaler(optimization, world.device)
        # A dynamic loss scale skips a step without a finite gradient, and tries a smaller scale.
        patience = guard.PATIENCE if self.scaler.is_enabled() and self._fixed_scale() is None else 0
        self.guard = NonFiniteGuard(work_dir, world, patience)
        self.launched: LaunchedStep | None = None
        self.signals = Signals()
        self.stopping = 0
        self.saved_step = self.first_step = self.at.step
        self.updating = False  # whether a step has begun to change weights
        self.epoch_lengths: dict[int, int] = {}
        self.dropped: Counter[str] = Counter()
        self.unreadable: set[str] = set()

    def run(self) -> None:
        """Trains to the end.

        Raises:
            Interrupted: After a signal, once the checkpoint is saved.
            NotFinite: If a loss or gradient is not finite.
            WorkerKilled: If the system killed a loader process; what was trained is saved first.
            StepFailed: If a step after the first failed; what was trained before it is saved first.
            OSError: If the last checkpoint could not be written.
        """
        if self.world.first:
            self.checkpoints.clean()
        try:
            with self.signals.heard():
                self._loop()
        except Interrupted as stop:
            if self.saved_step != self.at.step:
                self.save(f"iter_{self.at.step}.pth")
            stop.saved = self.saved_step == self.at.step
            raise
        except NotFinite:
            raise
        except Exception as error:
            self._save_what_is_sound(error)
            raise
        if self.saved_step != self.at.step:
            raise OSError(f"{self.work_dir}: the last checkpoint could not be written")

    def _save_what_is_sound(self, error: Exception) -> None:
        """Saves the last whole step after an error elsewhere, such as in the data or a layer.

        Raises:
            NotFinite: If that step was not finite: then this is the error to report.
        """
        if self.updating:
            return  # the weights are half updated
        if self.saved_step != self.at.step:
            try:
                # The other processes may be elsewhere.
                self.settle(together=False)
                self.save(f"iter_{self.at.step}.pth")
            except (RuntimeError, OSError) as another:  # the device or another process may be lost, too
                logger.warning("the last step could not be saved: %s", another)
        if isinstance(error, StepFailed | WorkerKilled):
            error.saved = self.saved_step == self.at.step

    def _loop(self) -> None:
        self.detector.train()
        self.first_step = self.at.step
        self.milestones()  # those of a training that was interrupted between a step and its validation
        began = time.perf_counter()
        with closing(self._windows()) as windows:
            for window in windows:
                loaded = time.perf_counter()
                launched = self._launch(window)
                self.settle()  # the step before
                launched.times = {"data_time": loaded - began, "time": time.perf_counter() - began}
                self.launched = launched
                if self.save_is_due or self.validation_is_due:
                    self.settle()
                if self.stopping or (self.world.size == 1 and self.signals.number):
                    raise Interrupted(self.stopping or self.signals.number)
                self.milestones()
                began = time.perf_counter()

    def _windows(self) -> Generator[Window]:
        """The batches that are left to train, as many at a time as one step takes; no step spans two epochs."""
        if self.finished:
            return
        with closing(iter(self._loader())) as batches:
            window: list[Sequence[LoadedImage]] = []
            for items in batches:
                window.append(items)
                epoch_ends = self.at.batches + len(window) == self.epoch_lengths[self.at.epoch]
                if len(window) == self.optimization.accumulative_counts or epoch_ends:
                    yield window
                    window = []
            if window:
                yield window

    def _loader(self) -> Loader:
        """Loads all batches that are left. Its workers start once and load across epochs."""
        return build_loader(
            self.train_set,
            self._draws(),
            num_workers=self.settings.train.num_workers,
            box_kind=self.detector.target_kind,
            angle_version=self.settings.angle_version,
            seed=self.settings.seed,
            pin_memory=self.world.device.type == "cuda",
        )

    def _draws(self) -> Iterator[list[Draw]]:
        """The images of each batch that is left, epoch after epoch."""
        settings = self.settings
        epoch, done, step = self.at.epoch, self.at.batches, self.at.step
        while (epoch if settings.by_epoch else step) < settings.length:
            batches = self.sampler.batches(
                self.train_set,
                settings.train.batch_size,
                seed=settings.seed,
                epoch=epoch,
                rank=self.world.rank,
                world=self.world.size,
            )
            self.epoch_lengths[epoch] = len(batches)
            left = batches[done:] if settings.by_epoch else batches[done : done + settings.length - step]
            yield from left
            epoch, done, step = epoch + 1, 0, step + len(left)

    def _launch(self, window: Window) -> LaunchedStep:
        """Launches a step and counts it."""
        # A step that fails may have changed running statistics.
        before = [buffer.detach().clone() for buffer in self.detector.buffers()]
        try:
            launched = self.step(window)
        except Exception as error:
            for buffer, value in zip(self.detector.buffers(), before, strict=True):
                buffer.data.copy_(value)
            # It may have failed because the step before was not finite: then that is the error to report.
            self.settle(together=False)
            if self.at.step == self.first_step or isinstance(error, torch.OutOfMemoryError):
                raise  # in its first step, a training may fail because of its config
            raise StepFailed(self.at.step, error, [item for items in window for item in items]) from error
        self.advance(len(window), self.epoch_lengths[self.at.epoch])
        self.updating = False
        launched.epoch, launched.ends_epoch = self.at.epoch + (self.at.batches > 0), self.at.batches == 0
        return launched

    def step(self, window: Window) -> LaunchedStep:
        """Updates the weights once, by the mean of the gradients of some batches.

        Nothing in it waits for the device but what a detector's losses wait for, and a loss scale.

        Returns:
            The step, whose losses can be read later.
        """
        number = self.at.step
        seed_all(self.settings.seed, number, self.world.rank)
        self.schedule.apply(self.optimizer, number + len(window) - 1)
        self.optimizer.zero_grad(set_to_none=True)
        terms = []
        for i, items in enumerate(window):
            batch, targets = self.prepare(items)
            with self._no_sync() if i + 1 < len(window) else nullcontext():
                with self._autocast():
                    losses = self.model(batch, targets)
                    total = total_loss(losses)
                terms.append(guard.means(losses))
                self.scaler.scale(total / len(window)).backward()  # type: ignore[no-untyped-call]
        self.updating = True
        self.scaler.unscale_(self.optimizer)
        grad_norm = self.optimization.clip()
        self.scaler.step(self.optimizer)
        self.scaler.update(self._fixed_scale())
        if self.ema is not None:
            self.ema.update(number + len(window) - 1)
        lr = self.optimizer.param_groups[0]["lr"]
        return LaunchedStep(number, window, terms, grad_norm, lr=lr, signal=self.signals.number, world=self.world)

    def prepare(self, items: Sequence[LoadedImage]) -> tuple[Batch, list[Instances]]:
        """A batch and its targets on the device."""
        where = self.world.device
        images = [item.image.to(where, non_blocking=True) for item in items]
        return self.detector.data_preprocessor(images), [item.instances.to(where) for item in items]

    def settle(self, *, together: bool = True) -> None:
        """Checks and logs the last launched step, unless that is done.

        Args:
            together: Whether all processes do so now.

        Raises:
            NotFinite: In all processes, if the loss in one of them or the gradient is not finite.
        """
        step, self.launched = self.launched, None
        if step is None:
            return
        self.guard.check(step, together=together)
        self.stopping = step.signal
        self.log.step(step.number + len(step.window), step.epoch, step.lr, step.values(), len(step.window))
        for item in (item for items in step.window for item in items):
            self.dropped.update(item.dropped)
            self.unreadable.update(item.skipped)
        if step.ends_epoch and together:
            found = distributed.gather((self.dropped, self.unreadable), self.world)
            dropped = sum((counts for counts, _ in found), Counter[str]())
            unreadable = sorted(set().union(*(paths for _, paths in found)))
            self.log.left_out(step.epoch, dropped, unreadable)
            self.dropped, self.unreadable = Counter(), set()

    @property
    def finished(self) -> bool:
        """Whether nothing is left to train."""
        return (self.at.epoch if self.settings.by_epoch else self.at.step) >= self.settings.length

    def advance(self, batches: int, of_epoch: int) -> None:
        """Counts trained batches, in an epoch of ``of_epoch`` batches."""
        self.at.step += batches
        self.at.batches += batches
        if self.at.batches == of_epoch:
            self.at.epoch, self.at.batches = self.at.epoch + 1, 0

    def milestones(self) -> None:
        """Saves and validates when that is due."""
        settings, at = self.settings, self.at
        if self.save_is_due:
            at.saved = at.epoch if settings.save_by_epoch else at.step
            self.save(f"epoch_{at.epoch}.pth" if settings.save_by_epoch and not at.batches else f"iter_{at.step}.pth")
        if self.validation_is_due:
            now = at.epoch if settings.by_epoch else at.step
            if now >= settings.val_begin:
                self.validate()
            at.validated = now

    @property
    def save_is_due(self) -> bool:
        """Whether it is time for a checkpoint."""
        due = self._due(self.settings.save_interval, self.settings.save_by_epoch, self.at.saved)
        # A number of steps may end within an epoch.
        return due or (self.finished and self.saved_step != self.at.step)

    @property
    def validation_is_due(self) -> bool:
        """Whether it is time for a validation."""
        due = self._due(self.settings.val_interval, self.settings.by_epoch, self.at.validated)
        return self.val_set is not None and due

    def _due(self, interval: int, by_epoch: bool, last: int) -> bool:
        now = self.at.epoch if by_epoch else self.at.step
        return now // interval > last // interval or (self.finished and now > last)

    def save(self, name: str) -> None:
        """Writes a checkpoint. If that fails, a warning is logged and training continues."""
        self.settle()
        if not self.world.first or self.checkpoints.save(name, self.content()):
            self.saved_step = self.at.step

    def content(self) -> dict[str, Any]:
        """The content of a checkpoint. With EMA, the averages are its ``state_dict``, as in MMEngine."""
        content: dict[str, Any] = {
            "meta": {**self.meta, "epoch": self.at.epoch, "iter": self.at.step, "time": time.strftime("%Y%m%d_%H%M%S")},
            "state_dict": self.detector.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "optimizer_type": type(self.optimizer).__name__,
            "scaler": self.scaler.state_dict(),
            "position": dict(vars(self.at)),
            "seed": self.settings.seed,
            "world": self.world.size,
            "batch_size": self.settings.train.batch_size,
            "epoch_length": self.schedule.epoch_length,
        }
        if self.ema is not None:
            content |= {"state_dict": self.ema.state_dict(), "ema_state_dict": content["state_dict"]}
        return content

    def validate(self) -> None:
        """Evaluates the detector on the validation set and keeps the best checkpoint."""
        self.settle()
        with nullcontext() if self.ema is None else self.ema.swapped():
            # Running statistics differ between processes.
            distributed.share_weights(self.detector, self.world)
            # With several processes the others would wait for one that leaves.
            with self.signals.ending_at_once(self.world.size == 1):
                evaluation, detections = evaluate_detector(
                    self.detector,
                    self.val_set,
                    self.metric,
                    device=self.world.device,
                    batch_size=self.settings.val.batch_size if self.settings.val else 1,
                    num_workers=self.settings.val.num_workers if self.settings.val else 0,
                    progress=self.world.first and sys.stderr.isatty(),
                )
        self.detector.train()
        for notice in detections.notices:
            logger.warning(notice)
        metrics = {name: float(value) for name, value in self.metric.headline(evaluation).items()}
        self.log.validation(self.at.step, self.at.epoch, metrics)
        self._keep_best(metrics)

    def best_metric(self, metrics: Mapping[str, float]) -> str | None:
        """The name of the metric that chooses the best checkpoint; None if none is kept."""
        wanted = self.settings.save_best
        if wanted is None or wanted in metrics:
            return wanted
        if wanted == "auto":
            return next(iter(metrics))
        # MMRotate puts the kind of metric before the name: dota/mAP.
        name = wanted.rpartition("/")[2]
        if name not in metrics:
            raise ValueError(f"default_hooks.checkpoint.save_best: no metric {wanted!r}, only {', '.join(metrics)}")
        return name

    def _keep_best(self, metrics: Mapping[str, float]) -> None:
        name, at = self.best_metric(metrics), self.at
        if name is None or not math.isfinite(metrics[name]):
            return
        start = f"best_{name.replace('/', '_')}"
        when = f"epoch_{at.epoch}" if self.settings.by_epoch else f"iter_{at.step}"
        # Before it was resumed, training may have kept the best by another metric.
        if at.best_file is not None and at.best_file.rsplit("_", 2)[0] != start:
            at.best, at.best_file = None, None
        sign = -1 if self.settings.best_is_less else 1
        if at.best is not None and sign * metrics[name] <= sign * at.best:
            return
        before = at.best, at.best_file
        at.best, at.best_file = metrics[name], f"{start}_{when}.pth"
        if self.world.first and not self.checkpoints.save_best(at.best_file, self.content(), before[1]):
            at.best, at.best_file = before

    def _fixed_scale(self) -> float | None:
        scale = self.optimization.loss_scale
        return float(scale) if self.scaler.is_enabled() and scale != "dynamic" else None

    def _autocast(self) -> AbstractContextManager[Any]:
        dtype = self.optimization.amp_dtype
        return torch.autocast(self.world.device.type, dtype, enabled=dtype is not None)

    def _no_sync(self) -> AbstractContextManager[Any]:
        """Keeps gradients in this process, until those of the last batch of a step are exchanged with them."""
        return self.model.no_sync() if isinstance(self.model, nn.parallel.DistributedDataParallel) else nullcontext()


def seed_all(*numbers: int) -> None:
    """Seeds torch, numpy and Python."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


def _distributed(detector: Detector, settings: Settings, world: World) -> nn.Module:
    if world.size == 1:
        return detector
    devices = [world.device.index] if world.device.type == "cuda" else None
    unused = settings.find_unused_parameters
    return nn.parallel.DistributedDataParallel(detector, device_ids=devices, find_unused_parameters=unused)


def _scaler(optimization: Optimization, device: torch.device) -> torch.amp.GradScaler:
    """Scales losses so that gradients in float16 do not underflow; does nothing for other types."""
    enabled = optimization.amp_dtype is torch.float16
    if optimization.loss_scale == "dynamic":
        return torch.amp.GradScaler(device.type, enabled=enabled)
    return torch.amp.GradScaler(device.type, init_scale=float(optimization.loss_scale), enabled=enabled)
