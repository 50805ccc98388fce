"""What every assigner offers, and the assignment it gives."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rotx.records import Instances


class Assignment(NamedTuple):
    """What N priors are trained towards.

    Attributes:
        gt_inds: Index of the object plus one, (N,) int64; 0 for the background, −1 for priors that take no part.
        max_overlaps: Highest overlap with any object, (N,); 0 without objects, −1 within an ignored region.
        labels: Class of the object, (N,) int64; −1 where there is none.
    """

    gt_inds: Tensor
    max_overlaps: Tensor
    labels: Tensor


class Predictions(NamedTuple):
    """What a head predicts for N priors of one image, for assigners that look at it.

    Attributes:
        logits: Logits (N, K).
        boxes: Decoded boxes (N, D), of the kind of the targets.
    """

    logits: Tensor
    boxes: Tensor


class Assigner(Protocol):
    """Decides which prior is trained towards which object."""

    def assign(self, priors: Tensor, targets: Instances, predictions: Predictions | None = None) -> Assignment:
        """Assigns the objects of one image.

        Args:
            priors: Priors (N, D) of the image, such as anchors; of the kind that the assigner is made for.
            targets: Objects of the image, M of them, as tensors; those that are ``ignored`` are given to no prior.
            predictions: What the head predicts for the priors, if the assigner asks for it.
        """


def assign_usable(
    assigner: Assigner,
    priors: Tensor,
    usable: Tensor | None,
    targets: Instances,
    predictions: Predictions | None = None,
) -> Assignment:
    """Assigns objects to some of the priors; the others take no part.

    Args:
        assigner: Assigner.
        priors: Priors (N, D).
        usable: Which of them may be assigned, (N,) bool; None: all.
        targets: Objects of the image.
        predictions: What the head predicts for the priors.
    """
    if usable is None:
        return assigner.assign(priors, targets, predictions)
    # A box without area overlaps nothing, so that it takes no object from another.
    found = assigner.assign(torch.where(usable[:, None], priors, 0), targets, predictions)
    gt_inds, labels = (torch.where(usable, values, -1) for values in (found.gt_inds, found.labels))
    return Assignment(gt_inds, torch.where(usable, found.max_overlaps, 0), labels)
