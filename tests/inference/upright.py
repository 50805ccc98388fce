"""A detector of upright boxes and masks that needs no training: bright rectangles, whose masks fill their boxes."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from bright import BrightHead
from rotx.boxes import rbox2hbox
from rotx.models.structures import Batch, Candidates
from rotx.records import BoxMasks, Instances
from rotx.registry import register


@register
class UprightHead(BrightHead):
    """The upright boxes around bright rectangles; the masks leave out the right half of each box."""

    box_kind, angle_version = "hbox", None

    def decode(self, raw: Tensor, batch: Batch) -> Candidates:
        found = super().decode(raw, batch)
        return Candidates(rbox2hbox(found.boxes), found.scores, found.labels, "hbox")

    def suppress(self, candidates: Candidates) -> list[Instances]:
        grid = torch.zeros(4, 4)
        grid[:, :2] = 1
        return [
            replace(one, masks=BoxMasks(grid.expand(len(one), 4, 4).clone())) for one in super().suppress(candidates)
        ]
