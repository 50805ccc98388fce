"""Training: one loop, from images to weights, that can be stopped at any step and goes on as if it had not been."""

from __future__ import annotations

import math
import random
import sys
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from rotx.datasets.loader import Item, Loader, build_loader
from rotx.engine import distributed, guard
from rotx.engine.checkpoints import Keeper, Position
from rotx.engine.distributed import World
from rotx.engine.ema import EMA
from rotx.engine.evaluate import evaluate_detector
from rotx.engine.log import Log
from rotx.engine.optim import Optimization
from rotx.engine.schedule import Schedule
from rotx.engine.settings import Settings
from rotx.engine.signals import Interrupted, Signals
from rotx.models import Batch
from rotx.models.detectors import Detector, total_loss
from rotx.records import Instances

#: The images of one step: as many batches as their gradients are summed over.
Window = Sequence[Sequence[Item]]


class Trainer:
    """Everything that takes part in a training, and the loop over it.

    :func:`rotx.engine.setup.prepare` makes one from a config. All that is random in a step depends on the seed, the
    number of the step and the rank alone, so nothing of it need be saved.
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
        self.keeper = Keeper(work_dir, settings.keep, log.say)
        self.at = position or Position()
        self.model = _distributed(detector, settings, world)
        self.scaler = _scaler(optimization, world.device)
        self.skipped = 0
        self.stopping = 0
        self.signals = Signals()
        self.saved_step = self.at.step
        self.dropped: Counter[str] = Counter()
        self.unreadable: set[str] = set()

    def run(self) -> None:
        """Trains to the end.

        Raises:
            Interrupted: after a signal, when a checkpoint was written.
            NotFinite: for a loss or gradient that is not finite.
            OSError: if the last checkpoint could not be written.
        """
        if self.world.first:
            self.keeper.clean()
        try:
            with self.signals.heard():
                self._loop()
        except Interrupted as stop:
            if self.saved_step != self.at.step:
                self.save(f"iter_{self.at.step}.pth")
            stop.saved = self.saved_step == self.at.step
            raise
        if self.saved_step != self.at.step:
            raise OSError(f"{self.work_dir}: the last checkpoint could not be written")

    def _loop(self) -> None:
        self.detector.train()
        self.milestones()  # those of a training that was stopped between a step and its validation
        while not self.finished:
            loader, length = self._loader()
            began = time.perf_counter()
            for window in windows(loader, self.optimization.accumulative_counts):
                loaded = time.perf_counter()
                values = self.step(window)
                ended = time.perf_counter()
                self.advance(len(window), length)
                self.report(window, {**values, "data_time": loaded - began, "time": ended - began})
                if self.stopping:
                    raise Interrupted(self.stopping)
                self.milestones()
                began = time.perf_counter()

    def _loader(self) -> tuple[Loader, int]:
        """What is left of this epoch, and how many batches the whole of it has."""
        settings = self.settings
        batches = self.sampler.batches(
            self.train_set,
            settings.train.batch_size,
            seed=settings.seed,
            epoch=self.at.epoch,
            rank=self.world.rank,
            world=self.world.size,
        )
        left = batches[self.at.batches :]
        loader = build_loader(
            self.train_set,
            left if settings.by_epoch else left[: settings.length - self.at.step],
            num_workers=settings.train.num_workers,
            angle_version=settings.angle_version,
            seed=settings.seed,
            pin_memory=self.world.device.type == "cuda",
        )
        return loader, len(batches)

    def step(self, window: Window) -> dict[str, float]:
        """Changes the weights once, by the mean of the gradients of some batches.

        Returns:
            The losses by name and ``grad_norm``, before it is clipped.

        Raises:
            NotFinite: in all processes, if a loss or the gradient of one is not finite.
        """
        seed_all(self.settings.seed, self.at.step, self.world.rank)
        self.schedule.apply(self.optimizer, self.at.step + len(window) - 1)
        self.optimizer.zero_grad(set_to_none=True)
        sums: Counter[str] = Counter()
        for i, items in enumerate(window):
            batch, targets = self.prepare(items)
            with self._gradients_stay_here() if i + 1 < len(window) else nullcontext():
                with self._half_precision():
                    losses = self.model(batch, targets)
                    total = total_loss(losses)
                values = guard.values_of(losses)
                self._check_losses(values, items)
                self.scaler.scale(total / len(window)).backward()  # type: ignore[no-untyped-call]
            sums.update(values)
        means = {name: value / len(window) for name, value in sums.items()}
        means["grad_norm"] = self._clip(means, window)
        self.scaler.step(self.optimizer)
        self.scaler.update(self._fixed_scale())
        if self.ema is not None:
            self.ema.update(self.at.step + len(window) - 1)
        return means

    def prepare(self, items: Sequence[Item]) -> tuple[Batch, list[Instances]]:
        """A batch and its targets on the device."""
        where = self.world.device
        images = [item.image.to(where, non_blocking=True) for item in items]
        return self.detector.data_preprocessor(images), [targets_of(item).to(where) for item in items]

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to train."""
        return (self.at.epoch if self.settings.by_epoch else self.at.step) >= self.settings.length

    def advance(self, batches: int, of_epoch: int) -> None:
        """Counts what was done."""
        self.at.step += batches
        self.at.batches += batches
        if self.at.batches == of_epoch:
            self.at.epoch, self.at.batches = self.at.epoch + 1, 0

    def milestones(self) -> None:
        """Saves and validates, if it is time to."""
        settings, at = self.settings, self.at
        due = self._due(settings.save_interval, settings.save_by_epoch, at.saved)
        # A number of steps may end within an epoch.
        if due or (self.finished and self.saved_step != at.step):
            at.saved = at.epoch if settings.save_by_epoch else at.step
            self.save(f"epoch_{at.epoch}.pth" if settings.save_by_epoch and not at.batches else f"iter_{at.step}.pth")
        if self.val_set is not None and self._due(settings.val_interval, settings.by_epoch, at.validated):
            now = at.epoch if settings.by_epoch else at.step
            if now >= settings.val_begin:
                self.validate()
            at.validated = now

    def _due(self, interval: int, by_epoch: bool, last: int) -> bool:
        now = self.at.epoch if by_epoch else self.at.step
        return now // interval > last // interval or (self.finished and now > last)

    def validate(self) -> None:
        """Scores the detector on the validation set and keeps the best checkpoint."""
        with self._averaged():
            # Running statistics are each process's own.
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
            self.log.say(notice)
        metrics = {name: float(value) for name, value in self.metric.headline(evaluation).items()}
        self.log.validation(self.at.step, self.at.epoch, metrics)
        self._keep_best(metrics)

    def best_metric(self, metrics: Mapping[str, float]) -> str | None:
        """The name of the metric that the best checkpoint is chosen by; None if none is kept."""
        wanted = self.settings.save_best
        if wanted is None or wanted in metrics:
            return wanted
        if wanted == "auto":
            return next(iter(metrics))
        # MMRotate has the kind of metric in the name: dota/mAP.
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
        # Before it was resumed, the training may have kept the best by another metric.
        if at.best_file is not None and at.best_file.rsplit("_", 2)[0] != start:
            at.best, at.best_file = None, None
        sign = -1 if self.settings.best_is_less else 1
        if at.best is not None and sign * metrics[name] <= sign * at.best:
            return
        before = at.best, at.best_file
        at.best, at.best_file = metrics[name], f"{start}_{when}.pth"
        if self.world.first and not self.keeper.save_best(at.best_file, self.content(), before[1]):
            at.best, at.best_file = before

    def save(self, name: str) -> None:
        """Writes a checkpoint; that it failed is said, and the training goes on."""
        if not self.world.first or self.keeper.save(name, self.content()):
            self.saved_step = self.at.step

    def content(self) -> dict[str, Any]:
        """What a checkpoint holds; with an average of the weights, that is the ``state_dict``, as MMEngine has it."""
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

    def report(self, window: Window, values: Mapping[str, float]) -> None:
        """Logs a step, and at the end of an epoch what of the data was left out."""
        epoch = self.at.epoch + (self.at.batches > 0)
        self.log.step(self.at.step, epoch, self.optimizer.param_groups[0]["lr"], values, len(window))
        for item in (item for items in window for item in items):
            self.dropped.update(item.dropped)
            self.unreadable.update(item.skipped)
        if self.at.batches == 0:
            found = distributed.gather((self.dropped, self.unreadable), self.world)
            dropped = sum((counts for counts, _ in found), Counter[str]())
            unreadable = sorted(set().union(*(paths for _, paths in found)))
            self.log.left_out(epoch, dropped, unreadable)
            self.dropped, self.unreadable = Counter(), set()

    def _check_losses(self, values: Mapping[str, float], items: Sequence[Item]) -> None:
        """Stops all processes if a loss of one is not finite; hears whether one of them was asked to stop."""
        bad = guard.not_finite(values)
        anywhere, self.stopping = distributed.largest([int(bool(bad)), self.signals.number], self.world)
        if anywhere:
            self._fail(f"{', '.join(bad)}" if bad else "", values, items)

    def _clip(self, values: Mapping[str, float], window: Window) -> float:
        """Clips the gradients as the config says; returns their norm before."""
        self.scaler.unscale_(self.optimizer)
        value = float(self.optimization.clip())
        self.skipped = 0 if math.isfinite(value) else self.skipped + 1
        # A dynamic loss scale skips the step and tries a smaller scale.
        if self.skipped > (guard.PATIENCE if self.scaler.is_enabled() and self._fixed_scale() is None else 0):
            self._fail("the gradient", values, [item for items in window for item in items])
        return value

    def _fail(self, what: str, values: Mapping[str, float], items: Sequence[Item]) -> None:
        """Raises NotFinite in every process, with the findings of those that have any."""
        finding = None
        if what:
            file = guard.dump(self.work_dir, self.at.step, self.world.rank, items, values)
            where = f"; the batch is in {file}" if file else "; the batch could not be written"
            rank = f"process {self.world.rank}: " if self.world.size > 1 else ""
            finding = f"step {self.at.step}: {rank}{guard.describe(what, items)}{where}"
        raise guard.NotFinite("; ".join(filter(None, distributed.gather(finding, self.world))))

    def _fixed_scale(self) -> float | None:
        scale = self.optimization.loss_scale
        return float(scale) if self.scaler.is_enabled() and scale != "dynamic" else None

    def _half_precision(self) -> AbstractContextManager[Any]:
        dtype = self.optimization.amp_dtype
        return torch.autocast(self.world.device.type, dtype, enabled=dtype is not None)

    def _gradients_stay_here(self) -> AbstractContextManager[Any]:
        return self.model.no_sync() if isinstance(self.model, nn.parallel.DistributedDataParallel) else nullcontext()

    def _averaged(self) -> AbstractContextManager[Any]:
        return nullcontext() if self.ema is None else self.ema.swapped()


def windows(loader: Iterable[list[Item]], size: int) -> Iterator[list[list[Item]]]:
    """``size`` batches at a time; at the end those that are left."""
    window: list[list[Item]] = []
    for items in loader:
        window.append(items)
        if len(window) == size:
            yield window
            window = []
    if window:
        yield window


def targets_of(item: Item) -> Instances:
    """The objects of an image, those to ignore last."""
    if not len(item.ignored):
        return Instances(item.boxes, "rbox", item.labels)
    rboxes = torch.cat([item.boxes, item.ignored])
    labels = torch.cat([item.labels, item.labels.new_zeros(len(item.ignored))])
    return Instances(rboxes, "rbox", labels, ignored=torch.arange(len(rboxes)) >= len(item.boxes))


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
    """Scales losses so that gradients in float16 are not rounded to 0; of no effect for other types."""
    enabled = optimization.amp_dtype is torch.float16
    if optimization.loss_scale == "dynamic":
        return torch.amp.GradScaler(device.type, enabled=enabled)
    return torch.amp.GradScaler(device.type, init_scale=float(optimization.loss_scale), enabled=enabled)
