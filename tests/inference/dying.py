"""A detector that ends its process when it has been asked for so many batches."""

from __future__ import annotations

import os
import signal

from torch import Tensor

from bright import BrightHead
from rotx.models.structures import Batch, Candidates
from rotx.registry import register

#: How many batches are left; fewer than none: it never ends. And the signal.
left, how = -1, "SIGKILL"


@register
class DyingHead(BrightHead):
    """Finds bright rectangles, for a while."""

    def decode(self, raw: Tensor, batch: Batch) -> Candidates:
        global left
        if left == 0:
            os.kill(os.getpid(), signal.Signals[how])
        left -= 1
        return super().decode(raw, batch)
