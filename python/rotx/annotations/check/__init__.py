"""Checks of datasets: faults of files and objects, and what training leaves out. Needs no torch.

`check_sets` reads all readable parts of each dataset (`sets`), checks every object (`objects`), decodes every image
(`images`), and collects all faults in one `CheckReport`. `rotx.datasets.check` lists what the datasets of a config
leave out, and `picture` plots statistics of the objects.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rotx.annotations.check.faults import KINDS, Fault
from rotx.annotations.check.images import check_images, check_same, decode_all
from rotx.annotations.check.objects import check_inside, check_objects
from rotx.annotations.check.sets import CheckedSet, read_set

__all__ = ["KINDS", "TINY", "CheckReport", "CheckedSet", "Fault", "check_sets", "read_set"]

#: Objects with a shorter side, in pixels, are faults by default.
TINY = 2.0


@dataclass(frozen=True)
class CheckReport:
    """Result of checking one or several datasets."""

    sets: list[CheckedSet]

    @property
    def faults(self) -> list[Fault]:
        """Faults of all datasets, in the order of `KINDS`; within a kind, in the order of the files."""
        order = {kind: i for i, kind in enumerate(KINDS)}
        return sorted((fault for one in self.sets for fault in one.faults), key=lambda fault: order[fault.kind])

    def to_json(self) -> dict[str, Any]:
        """Returns all faults and the counts of each dataset as plain dicts and lists."""
        sets = [
            {
                "name": one.name,
                "annotations": str(one.annotations),
                "images": len(one.table.images),
                "image_folder": None if one.folder is None else str(one.folder),
                "objects": len(one.quads),
                "classes": {name: int((one.table.label == i).sum()) for i, name in enumerate(one.table.classes)},
                "counts": dict(Counter(fault.kind for fault in one.faults)),
                "faults": [fault._asdict() for fault in one.faults],
                "notices": one.notices,
            }
            for one in self.sets
        ]
        return {"sets": sets, "faults": len(self.faults)}


def check_sets(sets: Sequence[CheckedSet], *, tiny: float = TINY, jobs: int | None = None) -> CheckReport:
    """Finds faults in datasets, and images that occur in two of them.

    Args:
        sets: Datasets from :func:`read_set`; faults and notices are added to them.
        tiny: Length in pixels; objects with a shorter side are faults.
        jobs: Number of threads that decode images; None: one per core.
    """
    images = decode_all((path for one in sets for path in one.table.paths if path), jobs)
    for one in sets:
        sizes = check_images(one, images)
        check_objects(one, tiny)
        check_inside(one, sizes)
    check_same(sets, images)
    return CheckReport(list(sets))
