"""coco.json: images, categories and annotations with scores, for COCO's tools and `rotx.datasets.coco`."""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rotx.atomic import Pending, naming, remove_leftovers
from rotx.geometry import area
from rotx.inference.outputs.result import Result


class CocoWriter:
    """One file; images, annotations and categories are counted from 1.

    ``segmentation`` is the rotated box's polygon ``[[x1, y1, ..., x4, y4]]``, ``bbox`` the upright box around it,
    ``area`` the polygon's. ``file_name`` is the image's name with the suffix of its file.
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

    def add(self, result: Result) -> None:
        """Writes an image and its objects."""
        image = {
            "id": self._images + 1,
            "file_name": result.name + result.file.suffix,
            "width": result.width,
            "height": result.height,
        }
        with naming(self._file.path):
            self._image_list.write(_entry(image, first=self._images == 0))
        self._images += 1
        found = result.prediction
        quads = found.quads
        xs, ys = quads[:, ::2], quads[:, 1::2]
        sides = (xs.min(1), ys.min(1), xs.max(1), ys.max(1))
        columns = (quads, *sides, area(found.rboxes), found.labels, found.scores)
        for quad, left, top, right, bottom, size, label, score in zip(*(c.tolist() for c in columns), strict=True):
            annotation = {
                "id": self._annotations + 1,
                "image_id": self._images,
                "category_id": label + 1,
                "segmentation": [quad],
                "bbox": [left, top, right - left, bottom - top],
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


def _entry(values: dict[str, Any], *, first: bool) -> bytes:
    return f"{'' if first else ','}\n{json.dumps(values)}".encode()
