"""Assignment of objects to places by distance, as for the first points of RepPoints."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx import boxes as rotx_boxes
from rotx.models.assigners.assignment import Assignment, Predictions
from rotx.records import Instances

# Distances computed at once: 2,000 gts and 22,000 places take 90 pieces of 2 MB, which fit a CPU cache.
_PAIRS = 1 << 19


class ConvexAssigner:
    """Assigns each gt to the places nearest to its centre, on the level for its size.

    A place that is nearest to several gts gets the nearest of them; all other places are background. Sizes, centres
    and distances are those of the hboxes around the gts. Distances are divided by the width and height of the hbox,
    and a gt of w × h px belongs to level log2(√(w · h) / ``scale``), rounded down and clamped to the existing levels.
    Ties go to the first place and the first gt.

    Yang et al., "RepPoints: Point Set Representation for Object Detection", ICCV 2019, sec. 4.2.

    Args:
        scale: Side of the objects that a level is for, in strides.
        pos_num: Number of places for each gt.
    """

    def __init__(self, scale: float = 4.0, pos_num: int = 3) -> None:
        self.scale = scale
        self.pos_num = pos_num

    def assign(self, priors: Tensor, targets: Instances, predictions: Predictions | None = None) -> Assignment:
        """Assigns gts to places without synchronising; memory grows with the sum of their numbers, not the product.

        Args:
            priors: Places (N, 3) ``x, y, stride`` in pixels; places of stride 0 get no gt.
            targets: The gts, M of them, of any kind.
            predictions: Not used.
        """
        none = torch.zeros(len(priors), dtype=torch.int64, device=priors.device)
        zeros = torch.zeros_like(priors[:, 0])
        count = min(self.pos_num, len(priors))
        if not len(targets) or not count:
            return Assignment(none, zeros, none - 1)
        hboxes = rotx_boxes.convert(targets.boxes, targets.kind, "hbox").to(priors.dtype)
        usable = priors[:, 2] > 0
        levels = torch.where(usable, priors[:, 2], 1).log2().floor()
        finest = torch.where(usable, levels, torch.inf).amin()
        coarsest = torch.where(usable, levels, -torch.inf).amax()
        step = max(_PAIRS // len(priors), 1)
        found = []
        for start in range(0, len(hboxes), step):
            some = hboxes[start : start + step]
            centers, sides = (some[:, :2] + some[:, 2:]) / 2, (some[:, 2:] - some[:, :2]).clamp(min=1e-6)
            wanted = ((sides / self.scale).log2().sum(dim=1) / 2).trunc().clamp(min=finest, max=coarsest)
            x, y = ((priors[:, i] - centers[:, i, None]) / sides[:, i, None] for i in range(2))  # (m, N)
            distances = (x * x + y * y).sqrt()
            apart = ~usable | (levels != wanted[:, None])
            if targets.ignored is not None:
                apart |= targets.ignored[start : start + step, None]
            found.append(_nearest(distances.masked_fill(apart, torch.inf), count))
        distances, places = (torch.cat(values).flatten() for values in zip(*found, strict=True))

        best = torch.full_like(zeros, torch.inf).scatter_reduce(0, places, distances, "amin")
        chosen = (distances == best[places]) & distances.isfinite()
        numbers = torch.arange(1, len(hboxes) + 1, device=priors.device).repeat_interleave(count)
        beyond = len(hboxes) + 1
        first = (none + beyond).scatter_reduce(0, places, torch.where(chosen, numbers, beyond), "amin")
        gt_inds = torch.where(first < beyond, first, 0)
        labels = targets.labels[(gt_inds - 1).clamp(min=0)]
        return Assignment(gt_inds, zeros, torch.where(gt_inds > 0, labels, -1))


def _nearest(distances: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The smallest distances (m, count) of each row of (m, N) and their indices; ties go to the first."""
    found: list[tuple[Tensor, Tensor]] = []
    for i in range(count):
        if i:
            distances = distances.scatter(1, found[-1][1], torch.inf)
        least, at = distances.min(dim=1, keepdim=True)
        found.append((least, at))
    values, places = zip(*found, strict=True)
    return torch.cat(values, dim=1), torch.cat(places, dim=1)
