"""A learned factor."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Scale(nn.Module):
    """Multiplies by one learned number, the parameter ``scale`` (a scalar tensor)."""

    def __init__(self, value: float = 1.0) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(value))

    def forward(self, x: Tensor) -> Tensor:
        """``x`` of any shape, scaled."""
        return x * self.scale
