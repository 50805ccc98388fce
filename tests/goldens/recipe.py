"""The weights and images that the reference numbers were computed with, drawn from a name or a seed.

Every entry of a state dict has its own generator, seeded by the CRC-32 of its key, and its values depend on its key,
shape and dtype alone. No weights have to be stored: any implementation with the same keys can draw them.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import TypeVar
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

Model = TypeVar("Model", bound=nn.Module)

#: Buffers that layers compute for themselves.
DERIVED = {"sampled_basis", "bias_expansion", "expanded_bias", "filter", "relative_position_index", "indices"}


def draw(key: str, shape: tuple[int, ...]) -> NDArray[np.float32] | None:
    """Values of a floating-point entry; None if the layer's own stay. Drawn in float64 and rounded once."""
    leaf = key.rsplit(".", 1)[-1]
    if leaf in DERIVED:
        return None
    generator = np.random.Generator(np.random.PCG64(crc32(key.encode())))
    if leaf == "running_var":
        return np.asarray(1 + 0.1 * generator.random(shape), np.float32)
    noise = generator.standard_normal(shape)
    if leaf == "running_mean":
        values = 0.05 * noise
    elif leaf == "bias":
        values = 0.02 * noise
    elif leaf == "weights" and len(shape) == 1:  # coefficients of a rotation-equivariant convolution
        values = 1.2 * noise * shape[0] ** -0.25
    elif len(shape) >= 2:
        values = noise / sqrt(prod(shape[1:]))  # keeps the variance of activations
    else:
        values = 1 + 0.05 * noise
        if key.endswith(".bn.weight"):  # ConvModules of RTMDet: SiLU shrinks activations
            values = 1.45 * values
    return np.asarray(values, np.float32)  # a scalar is an array of no dimensions


def load_into(model: Model) -> Model:
    """Overwrites all weights of a model, and returns it in eval mode."""
    state = model.state_dict()
    for key, value in state.items():
        if value.is_floating_point():
            values = draw(key, tuple(value.shape))
            if values is not None:
                state[key] = torch.from_numpy(values).to(value.dtype)
        elif key.endswith("num_batches_tracked"):
            state[key] = torch.zeros_like(value)
    model.load_state_dict(state)
    # Going from train to eval, rotation-equivariant layers recompute what derives from their weights.
    return model.train().eval()


def random_image(height: int, width: int, seed: int) -> NDArray[np.float32]:
    """Normalized image of standard normal noise, (1, 3, height, width)."""
    generator = np.random.Generator(np.random.PCG64(seed))
    return generator.standard_normal((1, 3, height, width)).astype(np.float32)
