"""The protocol of assigners and their result."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from rotx.records import Instances


class Assignment(NamedTuple):
    """The objects that N priors are trained towards.

    Attributes:
        gt_inds: Index of the object plus one, (N,) int64; 0 for background, −1 for ignored priors.
        max_overlaps: Highest overlap with any object, (N,); 0 without objects, −1 inside ignored regions.
        labels: Class of the object, (N,) int64; −1 for background and ignored priors.
    """

    gt_inds: Tensor
    max_overlaps: Tensor
    labels: Tensor


class Predictions(NamedTuple):
    """The predictions of a head for N priors of one image, for assigners that use them.

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
            priors: Priors (N, D) of the image, such as anchors, of the kind that the assigner works on.
            targets: M objects of the image, as tensors; ``ignored`` ones are assigned to no prior.
            predictions: Predictions for the priors, for assigners that use them.
        """


def assign_usable(
    assigner: Assigner,
    priors: Tensor,
    usable: Tensor | None,
    targets: Instances,
    predictions: Predictions | None = None,
) -> Assignment:
    """Assigns objects to the usable priors; the others are ignored.

    Args:
        assigner: Assigner.
        priors: Priors (N, D).
        usable: Whether each prior may be assigned, (N,) bool; None: all.
        targets: Objects of the image.
        predictions: Predictions for the priors, for assigners that use them.
    """
    if usable is None:
        return assigner.assign(priors, targets, predictions)
    # A box without area overlaps nothing: it cannot take an object from a usable prior.
    found = assigner.assign(torch.where(usable[:, None], priors, 0), targets, predictions)
    gt_inds, labels = (torch.where(usable, values, -1) for values in (found.gt_inds, found.labels))
    return Assignment(gt_inds, torch.where(usable, found.max_overlaps, 0), labels)
