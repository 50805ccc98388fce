"""What a conversion says at its end."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rotx.records import InstanceTable


@dataclass
class ConversionReport:
    """What was converted.

    Attributes:
        out: where to.
        format: the source's, as it was found to be.
        images: how many.
        empty: how many of them have no objects.
        classes: the number of objects of each class, as the source calls it.
        lost: what the target does not hold and what was done about it, a sentence each.
        notices: what else the user should know, a sentence each.
    """

    out: Path
    format: str
    images: int
    empty: int
    classes: dict[str, int]
    lost: list[str] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)

    @property
    def objects(self) -> int:
        """How many."""
        return sum(self.classes.values())

    def lines(self) -> list[str]:
        """All of it, a line a fact; the notices apart."""
        empty = f" ({self.empty:,} without objects)" if self.empty else ""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.classes.items())
        return [
            f"{self.out}: {self.images:,} images{empty}, {self.objects:,} objects, read as {self.format}",
            f"{len(self.classes)} classes{': ' if counts else ''}{counts}",
            *self.lost,
        ]


def report_of(data: InstanceTable, out: Path) -> ConversionReport:
    """The report of what was read."""
    counts = np.bincount(data.label, minlength=len(data.classes)).tolist()
    empty = len(data.images) - len(np.unique(data.image))
    classes = dict(zip(data.classes, counts, strict=True))
    return ConversionReport(out, data.format, len(data.images), empty, classes, list(data.lost), list(data.notices))
