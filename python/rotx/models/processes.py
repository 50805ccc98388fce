"""Averages and normalisation over the processes of a distributed run."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mean_over_processes(value: float | Tensor, where: torch.device, at_least: float = 0.0) -> Tensor:
    """Averages a number over the processes of a distributed run, as the divisor of a head's losses.

    DDP averages gradients over the processes. With this divisor they equal those of one process with all images: the
    sum of all losses divided by the sum of all numbers. Every process must call this function equally often.

    Args:
        value: Number in this process's images, such as that of the positive anchors.
        where: Device of the model.
        at_least: Lower bound of the sum over all processes.

    Returns:
        The sum divided by the number of processes, a float32 scalar tensor on the device; outside a distributed run
        the number itself.
    """
    if isinstance(value, Tensor):
        total = value.detach().to(where, torch.float32, copy=True)
    else:
        total = torch.full((), value, dtype=torch.float32, device=where)
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return total.clamp(min=at_least)
    torch.distributed.all_reduce(total)
    return total.clamp(min=at_least) / torch.distributed.get_world_size()


def sync_batch_norms(model: nn.Module) -> nn.Module:
    """Converts batch normalisations to synchronised ones, over the images of all processes; CUDA only.

    Models with timm layers use timm's conversion: torch's would drop the activations that these layers include.
    """
    if any(type(module).__module__.startswith("timm.") for module in model.modules()):
        from timm.layers.norm_act import convert_sync_batchnorm

        converted: nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call,no-any-return]
