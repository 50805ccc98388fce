"""The summary of a conversion."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from rotx.records import InstanceTable


@dataclass
class ConversionReport:
    """Summary of a conversion.

    Attributes:
        out: Path of the output.
        format: Detected format of the source.
        images: Number of images.
        empty: Number of images without objects.
        classes: Number of objects of each class, by the name in the source.
        lost: What the target format does not hold and how it was handled, one sentence each.
        notices: Other notes for the user, one sentence each.
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
        """Number of objects."""
        return sum(self.classes.values())

    def lines(self) -> list[str]:
        """The summary as lines, without the notices."""
        empty = f" ({self.empty:,} without objects)" if self.empty else ""
        counts = ", ".join(f"{name} {count:,}" for name, count in self.classes.items())
        return [
            f"{self.out}: {self.images:,} images{empty}, {self.objects:,} objects, read as {self.format}",
            f"{len(self.classes)} classes{': ' if counts else ''}{counts}",
            *self.lost,
        ]


def report_of(data: InstanceTable, out: Path) -> ConversionReport:
    """Builds the report of the table that was read."""
    counts = np.bincount(data.label, minlength=len(data.classes)).tolist()
    empty = len(data.images) - len(np.unique(data.image))
    classes = dict(zip(data.classes, counts, strict=True))
    return ConversionReport(out, data.format, len(data.images), empty, classes, list(data.lost), list(data.notices))
