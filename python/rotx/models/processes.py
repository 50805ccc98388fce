"""What a model needs to know of the other processes of a distributed run."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def mean_over_processes(value: float | Tensor, where: torch.device, at_least: float = 0.0) -> Tensor:
    """What a head divides the sum of its losses by: the share of one process in a number of the whole batch.

    Gradients are averaged over the processes. Divided by this, they are those of one process with all images: the
    sum of all losses over the sum of all numbers. Every process must call it equally often.

    Args:
        value: Number of this process's images, such as that of positive anchors.
        where: Device of the model.
        at_least: Least number that the whole batch counts as.

    Returns:
        The sum over the processes over how many they are, a float32 scalar tensor on the device; without a
        distributed run the number itself.
    """
    total = torch.as_tensor(value, dtype=torch.float32, device=where).detach().clone()
    if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
        return total.clamp(min=at_least)
    torch.distributed.all_reduce(total)
    return total.clamp(min=at_least) / torch.distributed.get_world_size()


def sync_batch_norms(model: nn.Module) -> nn.Module:
    """The model with batch normalisation over the images of all processes, where it trains; CUDA only.

    torch's own conversion would drop the activations that timm's layers hold together with the normalisation.
    """
    if any(type(module).__module__.startswith("timm.") for module in model.modules()):
        from timm.layers.norm_act import convert_sync_batchnorm

        converted: nn.Module = convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return converted
    return nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call,no-any-return]
