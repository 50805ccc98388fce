"""What is wrong with a data set: faults of its files and objects, and what training leaves out of it. No torch.

`check_sets` reads every set as far as it can be read (`sets`), looks at each object (`objects`), decodes each image
(`images`), and puts all faults into one `CheckReport`. `training` says what the datasets of a config leave out, and
`picture` draws what there is.
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

#: Objects with a shorter side, in pixels, are a fault unless said otherwise.
TINY = 2.0


@dataclass(frozen=True)
class CheckReport:
    """What was found in some sets."""

    sets: list[CheckedSet]

    @property
    def faults(self) -> list[Fault]:
        """Of all sets, in the order of `KINDS`, and within a kind of the files."""
        order = {kind: i for i, kind in enumerate(KINDS)}
        return sorted((fault for one in self.sets for fault in one.faults), key=lambda fault: order[fault.kind])

    def to_json(self) -> dict[str, Any]:
        """All faults, and the numbers of each set."""
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
    """Looks for faults in sets, and for images that are in two of them.

    Args:
        sets: as :func:`read_set` gives them; their faults and notices are added to.
        tiny: objects with a shorter side, in pixels, are a fault.
        jobs: number of threads that decode images; None: one a core.
    """
    images = decode_all((path for one in sets for path in one.table.paths if path), jobs)
    for one in sets:
        sizes = check_images(one, images)
        check_objects(one, tiny)
        check_inside(one, sizes)
    check_same(sets, images)
    return CheckReport(list(sets))
