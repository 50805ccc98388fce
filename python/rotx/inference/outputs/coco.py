"""Writer of coco.json: images, categories and annotations with scores, for COCO's tools and `rotx.datasets.coco`."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rotx.atomic import Pending, naming, remove_leftovers
from rotx.boxes import area
from rotx.inference.outputs.writer import size_of
from rotx.inference.prediction import mask_json
from rotx.records import ImageRecord, Instances


class CocoWriter:
    """Writes one file; the ids of images, annotations and categories start at 1.

    ``segmentation`` is the polygon of the box ``[[x1, y1, ..., x4, y4]]``, or the object's mask as run lengths;
    ``bbox`` is the horizontal box around the object, ``area`` the area of the polygon or mask. ``file_name`` is the
    image's name with the suffix of its file.
    """

    def __init__(self, out: Path, classes: Sequence[str]) -> None:
        remove_leftovers(out / "coco.json")
        self._file = Pending(out / "coco.json")
        try:
            with naming(self._file.path):
                # The list of images follows the annotations.
                self._image_list = tempfile.TemporaryFile(dir=out)  # noqa: SIM115
            categories = [{"id": i, "name": name} for i, name in enumerate(classes, start=1)]
            self._file.write(f'{{"categories": {json.dumps(categories)},\n"annotations": ['.encode())
        except OSError:
            self._file.discard()
            raise
        self._images = self._annotations = 0

    def add(self, result: ImageRecord) -> None:
        """Writes an image and its objects."""
        width, height = size_of(result)
        name = result.name + result.path.suffix
        image = {"id": self._images + 1, "file_name": name, "width": width, "height": height}
        with naming(self._file.path):
            self._image_list.write(_entry(image, first=self._images == 0))
        self._images += 1
        found = result.instances
        hboxes = found.hboxes
        columns = (hboxes[:, :2], hboxes[:, 2:] - hboxes[:, :2], found.labels, found.scores)
        shapes = _shapes(found, height, width)
        for (outline, size), corner, sides, label, score in zip(shapes, *(c.tolist() for c in columns), strict=True):
            annotation = {
                "id": self._annotations + 1,
                "image_id": self._images,
                "category_id": label + 1,
                "segmentation": outline,
                "bbox": [*corner, *sides],
                "area": size,
                "iscrowd": 0,
                "score": score,
            }
            self._file.write(_entry(annotation, first=self._annotations == 0))
            self._annotations += 1

    def close(self) -> list[Path]:
        """Completes the file."""
        self._file.write(b'],\n"images": [')
        with naming(self._file.path):
            self._image_list.seek(0)
            shutil.copyfileobj(self._image_list, self._file)
            self._image_list.close()
        self._file.write(b"]}\n")
        return [self._file.close()]

    def discard(self) -> None:
        """Removes the temporary files."""
        self._file.discard()
        self._image_list.close()


def _shapes(found: Instances, height: int, width: int) -> list[tuple[Any, float]]:
    """Returns the segmentation of each object, and its area."""
    masks = found.file_masks
    if masks is None:
        return list(zip([[quad] for quad in found.quads.tolist()], area(found.boxes, found.kind).tolist(), strict=True))
    from pycocotools import mask as coco

    return [(mask_json(runs), float(coco.area(runs))) for runs in masks.runs(height, width)]


def _entry(values: dict[str, Any], *, first: bool) -> bytes:
    return f"{'' if first else ','}\n{json.dumps(values)}".encode()
