"""Deprecated fields of samples, for users' transforms; each warns and will be removed in the next version."""

from __future__ import annotations

import warnings
from dataclasses import replace
from typing import Any

import numpy as np

from rotx.records import Instances


class OldSampleFields:
    """Fields that `Sample` had before it held `Instances`."""

    instances: Instances
    matrix: Any

    @property
    def quads(self) -> Any:
        """Corners (M, 8) of the objects; use ``instances`` instead."""
        _warn("quads", "instances.quads")
        return self.instances.quads

    @quads.setter
    def quads(self, quads: Any) -> None:
        _warn("quads", "instances")
        old = self.instances
        if len(quads) == len(old):
            self.instances = replace(old, boxes=quads, kind="quad")
        else:
            self.instances = Instances(quads, "quad", np.zeros(len(quads), np.int64))

    @property
    def labels(self) -> Any:
        """Labels (M,) of the objects; use ``instances`` instead."""
        _warn("labels", "instances.labels")
        return self.instances.labels

    @labels.setter
    def labels(self, labels: Any) -> None:
        _warn("labels", "instances")
        self.instances = replace(self.instances, labels=labels)

    @property
    def ignored(self) -> Any:
        """Whether each object (M,) is ignored; use ``instances`` instead."""
        _warn("ignored", "instances.ignored")
        ignored = self.instances.ignored
        return np.zeros(len(self.instances), np.bool_) if ignored is None else ignored

    @ignored.setter
    def ignored(self, ignored: Any) -> None:
        _warn("ignored", "instances")
        self.instances = replace(self.instances, ignored=ignored)

    @property
    def factors(self) -> tuple[float, float]:
        """Scale factors from file to image, in x and y; use ``matrix`` instead."""
        _warn("factors", "matrix")
        x, y = np.linalg.norm(self.matrix[:2, :2], axis=0).tolist()
        return x, y


def _warn(old: str, new: str) -> None:
    message = f"Sample.{old} is now Sample.{new}; the old name will be removed in the next version"
    warnings.warn(message, DeprecationWarning, stacklevel=3)
