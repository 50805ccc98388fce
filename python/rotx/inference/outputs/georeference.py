"""Georeference of a GeoTIFF: coordinates of its CRS, and sizes on the ground. Needs rasterio."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rotx.geometry import rbox_to_quad
from rotx.images.files import SUFFIXES, UnreadableImage
from rotx.inference.outputs.ground import ground_distance

Floats = NDArray[np.float64]


class NotPlaced(ValueError):
    """An image has no usable georeference."""


def need_rasterio() -> None:
    """Raises ImportError, with the fix, if rasterio is not installed."""
    try:
        import rasterio  # noqa: F401
    except ImportError:
        raise ImportError("geojson needs rasterio: pip install 'rotx[geo]'") from None


@dataclass(frozen=True, eq=False)
class Georeference:
    """Position of an image on the earth.

    Attributes:
        transform: Affine transform (2, 3) from (column, row, 1) to x and y of the CRS; the corner of the first pixel is
            (0, 0).
        crs: Coordinate reference system, as rasterio's ``CRS``.
        crs_name: Name of the CRS in GeoJSON's ``crs``, for GDAL and QGIS; None for longitude and latitude of WGS 84,
            the default of GeoJSON.
    """

    transform: Floats
    crs: Any
    crs_name: str | None

    @classmethod
    def of(cls, file: Path, size: tuple[int, int] | None = None) -> Georeference:
        """Reads the georeference of a file.

        Args:
            file: GeoTIFF, or any other file that GDAL reads.
            size: Expected width and height; None: any.

        Raises:
            NotPlaced: If the image has no usable georeference; the message names the file and what is missing.
            UnreadableImage: If GDAL cannot open the file although it should be an image.
        """
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError

        if file.exists() and not file.is_file():  # opening a pipe would wait for ever
            raise UnreadableImage(file, "is not a regular file")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotGeoreferencedWarning)
                with rasterio.open(file) as image:
                    t, crs, there, lacks = image.transform, image.crs, (image.width, image.height), _lacking(image)
        except RasterioError:
            if file.suffix.lower() in SUFFIXES:
                raise UnreadableImage(file, "GDAL cannot read it") from None
            raise NotPlaced(f"{file}: is not a GeoTIFF") from None
        if lacks:
            raise NotPlaced(f"{file}: {lacks}")
        if size is not None and size != there:
            raise NotPlaced(
                f"{file}: has a georeference for {there[0]} x {there[1]} pixels, but is read as {size[0]} x {size[1]}: "
                "remove its orientation tag"
            )
        return cls(np.array([[t.a, t.b, t.c], [t.d, t.e, t.f]]), crs, _crs_name(crs))

    def at(self, points: Floats) -> Floats:
        """Converts points (..., 2) of the image to the CRS.

        The centre of the first pixel is (0, 0) in rotx, and (0.5, 0.5) in the transform.
        """
        return (points + 0.5) @ self.transform[:, :2].T + self.transform[:, 2]

    def rings(self, quads: Floats) -> Floats:
        """Converts quads (N, 8) of the image to closed rings (N, 5, 2) of the CRS, counter-clockwise with y up."""
        corners = self.at(quads.reshape(-1, 4, 2))
        x, y = np.moveaxis(corners - corners[:, :1], 2, 0)
        turning = (x * np.roll(y, -1, axis=1) - np.roll(x, -1, axis=1) * y).sum(1)
        corners[turning < 0] = corners[turning < 0, ::-1]
        return np.concatenate([corners, corners[:, :1]], axis=1)

    def ground_size(self, rboxes: Floats) -> tuple[Floats, Floats]:
        """Returns length and width (N,) of rboxes (N, 5) in metres, between the middles of opposite sides.

        They are measured on the ellipsoid, independent of the map's distortion: in Web Mercator, sizes at 60° N appear
        twice as large. They are NaN outside the CRS's range, such as the sky around the earth in a satellite's view.
        """
        corners = rbox_to_quad(rboxes).reshape(-1, 4, 2)
        middles = self.at((corners + np.roll(corners, -1, axis=1)) / 2)
        top, right, bottom, left = np.moveaxis(_degrees(self.crs, middles.reshape(-1, 2)).reshape(-1, 4, 2), 1, 0)
        sides = np.stack([ground_distance(left, right), ground_distance(top, bottom)])
        return sides.max(0), sides.min(0)


def _degrees(crs: Any, points: Floats) -> Floats:
    """Converts points (N, 2) of a CRS to longitude and latitude (N, 2), in degrees; NaN outside the CRS's range."""
    from rasterio._err import CPLE_BaseError  # it has no public name
    from rasterio.warp import transform

    if len(points) == 0:
        return points
    try:
        found = np.stack(transform(crs, "EPSG:4326", *points.T), -1)
        return np.where(np.isfinite(found), found, np.nan)
    except CPLE_BaseError:  # one point outside the range fails all
        if len(points) == 1:
            return np.full((1, 2), np.nan)
        half = len(points) // 2
        return np.concatenate([_degrees(crs, points[:half]), _degrees(crs, points[half:])])


def _lacking(image: Any) -> str:
    """Returns what the georeference of an open rasterio dataset lacks, with the fix; "" if it is complete."""
    placed, points, models = not image.transform.is_identity, image.gcps[0], image.rpcs
    if not placed and (points or models):
        means = "ground control points" if points else "a sensor model (RPC)"
        return f"is georeferenced by {means} only, without an affine transform: warp it first (gdalwarp)"
    if not placed:
        return "has a CRS, but no affine transform" if image.crs else "has no georeference: no CRS, no affine transform"
    if not image.crs:
        return "has an affine transform, but no CRS: set it first (gdal_edit.py -a_srs EPSG:...)"
    if image.transform.is_degenerate:
        return "has an affine transform that maps all pixels to a line"
    if not (image.crs.is_geographic or image.crs.is_projected):
        return "has a CRS that is neither geographic nor projected, so that sizes on the ground are unknown"
    return ""


def _crs_name(crs: Any) -> str | None:
    """Returns the URN of a CRS from a registry; otherwise its WKT, which GDAL also accepts."""
    authority = crs.to_authority()
    if authority in (("EPSG", "4326"), ("OGC", "CRS84")):
        return None
    return f"urn:ogc:def:crs:{authority[0]}::{authority[1]}" if authority else crs.to_wkt()
