"""Objects found in an image, as returned to users."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.records import Instances
from rotx.records.masks import Mask


@dataclass(frozen=True, eq=False, init=False)
class Prediction:
    """Objects found in one image, best first, in pixels of that image.

    Attributes:
        name: Name of the image: its file name without suffix, or ``image0`` and so on.
        instances: Objects as numpy arrays: boxes of the detector's kind (rboxes as le90), scores, labels and, if the
            detector predicts them, masks.
        classes: Class name of each object.
    """

    name: str
    instances: Instances
    classes: tuple[str, ...]

    def __init__(
        self,
        name: str,
        rboxes: NDArray[np.float64] | None = None,
        scores: NDArray[np.float64] | None = None,
        labels: NDArray[np.int64] | None = None,
        classes: Sequence[str] = (),
        *,
        instances: Instances | None = None,
    ) -> None:
        """Creates a prediction from arrays or ``instances``; given arrays replace those of ``instances``.

        Args:
            name: Name of the image.
            rboxes: Rotated boxes (N, 5).
            scores: Scores (N,).
            labels: Labels (N,).
            classes: Class name of each object.
            instances: Objects.
        """
        if instances is None:
            assert rboxes is not None and labels is not None
            instances = Instances(rboxes, "rbox", labels, scores=scores)
        else:
            given: dict[str, Any] = {"boxes": rboxes, "scores": scores, "labels": labels}
            changes = {key: value for key, value in given.items() if value is not None}
            instances = replace(instances, **changes, kind=instances.kind if rboxes is None else "rbox")
        for key, value in (("name", name), ("instances", instances), ("classes", tuple(classes))):
            object.__setattr__(self, key, value)  # the class is frozen

    @classmethod
    def of(cls, name: str, instances: Instances, classes: Sequence[str]) -> Prediction:
        """Creates a prediction, with the class name of each label.

        Args:
            name: Name of the image.
            instances: Objects of the image.
            classes: Class names in the order of the labels.
        """
        return cls(name, instances=instances, classes=[classes[label] for label in instances.labels.tolist()])

    def __len__(self) -> int:
        return len(self.instances)

    @property
    def scores(self) -> NDArray[np.float64]:
        """Scores (N,) float64 in [0, 1]."""
        scores: NDArray[np.float64] = self.instances.scores
        return scores

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels (N,) int64."""
        labels: NDArray[np.int64] = self.instances.labels
        return labels

    @property
    def rboxes(self) -> NDArray[np.float64]:
        """Rotated boxes (N, 5) float64 ``cx, cy, w, h, angle``, radians, clockwise, w ≥ h (le90)."""
        rboxes: NDArray[np.float64] = self.instances.rboxes
        return rboxes

    @property
    def quads(self) -> NDArray[np.float64]:
        """Corners (N, 8) float64."""
        quads: NDArray[np.float64] = self.instances.quads
        return quads

    def above(self, score_thr: float) -> Prediction:
        """Returns the objects with scores above a threshold."""
        keep = self.scores > score_thr
        classes = tuple(name for name, kept in zip(self.classes, keep, strict=True) if kept)
        return Prediction(self.name, instances=self.instances[keep], classes=classes)

    def objects(self) -> list[dict[str, Any]]:
        """Returns the objects as JSON-compatible dicts with ``class``, ``label``, ``score``, the box and ``quad``.

        The key of the box is its kind: ``rbox``, or ``hbox`` for a detector of horizontal boxes. An object with a mask
        has its run-length encoding as ``mask``, in COCO's format.
        """
        found = self.instances
        columns: dict[str, Any] = {"label": found.labels, "score": found.scores, found.kind: found.boxes}
        columns["quad"] = found.quads
        rows = zip(*(column.tolist() for column in columns.values()), strict=True)
        named = zip(self.classes, rows, strict=True)
        objects = [{"class": name, **dict(zip(columns, row, strict=True))} for name, row in named]
        if found.file_masks is not None:
            for thing, mask in zip(objects, found.file_masks, strict=True):
                thing["mask"] = mask_json(mask)
        return objects


def mask_json(mask: Mask) -> Any:
    """Converts a mask to JSON-compatible values: polygons as lists, run lengths in COCO's format."""
    if not isinstance(mask, dict):
        return [polygon.tolist() for polygon in mask]
    counts = mask["counts"]
    return {"size": list(mask["size"]), "counts": counts.decode() if isinstance(counts, bytes) else counts}
