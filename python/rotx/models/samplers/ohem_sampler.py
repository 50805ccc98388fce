"""The hardest priors take part."""

from __future__ import annotations

import torch
from torch import Tensor

from rotx.models.samplers.random_sampler import RandomSampler
from rotx.models.samplers.sampler import Hardness


class OHEMSampler(RandomSampler):
    """Online Hard Example Mining: as RandomSampler, but the candidates of the highest loss.

    Paper: Shrivastava et al., Training Region-based Object Detectors with Online Hard Example Mining, CVPR 2016.
    The arguments are those of RandomSampler. ``sample`` needs ``hardness``, and calls it only where there are
    more candidates than asked for: once for the positive ones, once for the negative ones.
    """

    def _choose(
        self,
        priors: Tensor,
        labels: Tensor,
        number: int,
        generator: torch.Generator | None,
        hardness: Hardness | None,
    ) -> Tensor:
        if hardness is None:
            raise ValueError("OHEMSampler: sample needs hardness, the losses of candidates")
        with torch.no_grad():
            return hardness(priors, labels).topk(number).indices
