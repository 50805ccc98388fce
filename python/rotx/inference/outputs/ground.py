"""Distances on the ground."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

#: WGS 84's ellipsoid: semi-major axis in metres, flattening, squared eccentricity.
EQUATOR = 6_378_137.0
FLATTENING = 1 / 298.257223563
ECCENTRICITY2 = FLATTENING * (2 - FLATTENING)

#: The earth's mean radius in metres.
EARTH = EQUATOR * (1 - FLATTENING / 3)


def ground_distance(a: Floats, b: Floats) -> Floats:
    """Returns distances (N,) in metres between points (N, 2), longitude and latitude in degrees, on WGS 84's ellipsoid.

    The distance is the arc over the chord, with the earth's mean radius; its relative error is below 1e-7 up to 10 km.
    """
    chord = np.linalg.norm(_in_space(a) - _in_space(b), axis=-1)
    distance: Floats = 2 * EARTH * np.arcsin(np.minimum(chord / (2 * EARTH), 1))
    return distance


def _in_space(points: Floats) -> Floats:
    """Converts longitude and latitude (N, 2) to Cartesian coordinates (N, 3) in metres from the earth's centre."""
    lon, lat = np.moveaxis(np.deg2rad(points), -1, 0)
    radius = EQUATOR / np.sqrt(1 - ECCENTRICITY2 * np.sin(lat) ** 2)
    up = radius * (1 - ECCENTRICITY2) * np.sin(lat)
    return np.stack([radius * np.cos(lat) * np.cos(lon), radius * np.cos(lat) * np.sin(lon), up], axis=-1)
