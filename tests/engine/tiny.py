"""A plug-in for tests: a backbone of five convolutions, so that a checkpoint is small and a step takes milliseconds."""

from __future__ import annotations

import signal

import torch
from torch import Tensor, nn

from rotx.registry import register


@register
class TinyBackbone(nn.Module):
    """Maps at strides 4, 8, 16, 32, with 16 channels.

    Args:
        drop: probability of dropout, which draws random numbers in every step.
        norm: whether there is batch normalisation.
        break_at: the training pass, from 1, from which on the maps are infinite.
        fail_at: the training pass in which a layer raises an error, which is ``fail_with``.
        signal_at: the training pass in which the process gets ``signal_number``.
        signal_at_test: likewise of the passes that are no training.
    """

    def __init__(
        self,
        *,
        drop: float = 0.1,
        norm: bool = True,
        break_at: int | None = None,
        fail_at: int | None = None,
        fail_with: str = "ValueError",
        signal_at: int | None = None,
        signal_at_test: int | None = None,
        signal_number: int = signal.SIGTERM,
    ) -> None:
        super().__init__()
        self.stem = self._layer(3, norm)
        self.stages = nn.ModuleList(self._layer(16, norm) for _ in range(4))
        self.drop = nn.Dropout2d(drop)
        self.break_at, self.signal_at, self.signal_number = break_at, signal_at, signal_number
        self.signal_at_test = signal_at_test
        self.fail_at, self.fail_with = fail_at, fail_with
        self.passes, self.tests = 0, 0

    def forward(self, images: Tensor) -> list[Tensor]:
        self.passes += self.training
        self.tests += not self.training
        if (self.training and self.passes == self.signal_at) or (
            not self.training and self.tests == self.signal_at_test
        ):
            signal.raise_signal(self.signal_number)
        stem = self.stem(images)
        if self.training and self.passes == self.fail_at:
            raise {"ValueError": ValueError, "RuntimeError": RuntimeError, "KeyError": KeyError}[self.fail_with]("odd")
        maps = [self.drop(stem)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        if self.training and self.break_at is not None and self.passes >= self.break_at:
            maps[-1] = maps[-1] + torch.inf
        return maps[1:]

    def _layer(self, channels: int, norm: bool) -> nn.Module:
        layers = [nn.Conv2d(channels, 16, 3, 2, 1), nn.BatchNorm2d(16) if norm else nn.Identity(), nn.ReLU()]
        return nn.Sequential(*layers)
