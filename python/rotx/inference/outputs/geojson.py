"""Writer of geojson/<name>.geojson: the objects in a GeoTIFF as polygons on the map."""

from __future__ import annotations

import json
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rotx.atomic import PendingFolder, remove_leftovers
from rotx.images.files import UnreadableImage
from rotx.inference.outputs.georeference import Georeference, NotPlaced
from rotx.inference.outputs.writer import size_of
from rotx.records import ImageRecord


class GeoJsonWriter:
    """Writes a FeatureCollection per image, in the image's CRS; skips images without georeference, with a warning.

    The properties of a polygon are ``class``, ``score``, ``angle`` (of the box in the image: radians, clockwise), and
    ``length_m`` and ``width_m`` in metres on the ground, or null for objects outside the earth's disk.
    """

    def __init__(self, out: Path, classes: Sequence[str]) -> None:
        self.classes = classes
        remove_leftovers(out / "geojson")
        self._folder = PendingFolder(out / "geojson")

    def add(self, result: ImageRecord) -> None:
        """Writes the file of an image."""
        try:
            place = Georeference.of(result.path, size_of(result))
        except (NotPlaced, UnreadableImage) as error:
            warnings.warn(f"{error}; skipped in geojson", stacklevel=2)
            return
        self._folder.write(f"{result.name}.geojson", json.dumps(self._collection(result, place)).encode())

    def close(self) -> list[Path]:
        """Moves the files into place; returns their folder."""
        return [self._folder.close()]

    def discard(self) -> None:
        """Removes the temporary files."""
        self._folder.discard()

    def _collection(self, result: ImageRecord, place: Georeference) -> dict[str, Any]:
        found, rboxes = result.instances, result.instances.rboxes
        names = [self.classes[label] for label in found.labels.tolist()]
        columns = (place.rings(found.quads), found.scores, rboxes[:, 4])
        sizes = [[m if math.isfinite(m) else None for m in size.tolist()] for size in place.ground_size(rboxes)]
        features = [
            {
                "type": "Feature",
                "properties": {"class": name, "score": score, "angle": angle, "length_m": along, "width_m": across},
                "geometry": {"type": "Polygon", "coordinates": [ring]},
            }
            for name, ring, score, angle, along, across in zip(
                names, *(column.tolist() for column in columns), *sizes, strict=True
            )
        ]
        collection: dict[str, Any] = {"type": "FeatureCollection"}
        if place.crs_name is not None:
            collection["crs"] = {"type": "name", "properties": {"name": place.crs_name}}
        return collection | {"features": features}
