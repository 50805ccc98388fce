"""Learned scale factor."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """Multiplies its input by one learned number, the parameter ``scale`` (a scalar tensor).

    Args:
        value: Initial factor.
    """

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        """Returns ``x``, of any shape, times the factor."""
        return x * self.scale
