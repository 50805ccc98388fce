"""A training step whose numbers are still on their way from the device."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property

import torch
from torch import Tensor

from rotx.datasets.loader import LoadedImage
from rotx.engine import distributed
from rotx.engine.distributed import World

#: The images of one step: a list for each batch whose gradients are accumulated.
Window = Sequence[Sequence[LoadedImage]]


class LaunchedStep:
    """A step that the device may still be computing.

    Its numbers are copied to the CPU after the step, in one asynchronous transfer. Reading one of them
    waits; by the time the next step has been launched, that takes no time.

    Attributes:
        number: Number of batches that this process had trained before the step.
        window: The images.
        lr: Learning rate of the first group of parameters.
        epoch: Epoch that the step belongs to, from 1.
        ends_epoch: Whether the step is the last one of its epoch.
        times: Seconds by name, ``data_time`` and ``time``.
    """

    def __init__(
        self,
        number: int,
        window: Window,
        losses: Sequence[Mapping[str, Tensor]],
        grad_norm: Tensor,
        *,
        lr: float,
        signal: int,
        world: World,
    ) -> None:
        """Starts the transfer.

        Args:
            number: See the attribute.
            window: The images.
            losses: Loss terms of each batch by name, scalars on the device.
            grad_norm: Norm of the gradient before clipping, a scalar.
            lr: See the attribute.
            signal: Signal that this process has received; 0 for none.
            world: The processes of this training.
        """
        self.number, self.window, self.lr = number, window, lr
        self.epoch, self.ends_epoch = 1, False
        self.times: dict[str, float] = {}
        self._names = [tuple(terms) for terms in losses]
        own = torch.stack([value for terms in losses for value in terms.values()])
        failed = (~torch.isfinite(own)).any()
        numbers = torch.cat([own, torch.stack([x.to(own) for x in (grad_norm, failed)]), own.new_full((1,), signal)])
        # The last two are for all processes: whether a loss is not finite anywhere, and whether to stop.
        self._work = distributed.start_largest(numbers[-2:], world)
        self._numbers, self._copied = numbers, None
        if numbers.device.type == "cuda":
            if self._work is not None:
                self._work.wait()  # orders the copy behind it on the device
            self._numbers = torch.empty(numbers.shape, dtype=numbers.dtype, pin_memory=True)
            self._numbers.copy_(numbers, non_blocking=True)
            self._copied = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self._copied.record()

    @cached_property
    def _read(self) -> list[float]:
        if self._copied is not None:
            self._copied.synchronize()
        elif self._work is not None:
            self._work.wait()
        numbers: list[float] = self._numbers.tolist()
        return numbers

    @property
    def losses(self) -> list[dict[str, float]]:
        """Loss terms of each batch by name."""
        numbers = iter(self._read)
        return [{name: next(numbers) for name in names} for names in self._names]

    @property
    def grad_norm(self) -> float:
        """Norm of the gradient before clipping."""
        return self._read[-3]

    @property
    def failed(self) -> bool:
        """Whether a loss is not finite in any process."""
        return self._read[-2] != 0

    @property
    def signal(self) -> int:
        """Signal that any process has received; 0 for none."""
        return int(self._read[-1])

    def values(self) -> dict[str, float]:
        """What is logged: the mean of each loss over the batches, ``grad_norm`` and the times."""
        sums: Counter[str] = Counter()
        for terms in self.losses:
            sums.update(terms)
        means = {name: value / len(self.window) for name, value in sums.items()}
        return {**means, "grad_norm": self.grad_norm, **self.times}
