"""Results on the map: coordinates by GDAL's own, files by geopandas, sizes by PROJ's geodesics."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import shapely
from PIL import Image

from results import CLASSES, result
from rotx.images.files import UnreadableImage
from rotx.inference.outputs import check, open_writers
from rotx.inference.outputs.georeference import Georeference, NotPlaced
from rotx.inference.outputs.ground import ground_distance
from rotx.records import ImageRecord
from rotx.tiling.windowed_image import WindowedImage

rasterio = pytest.importorskip("rasterio", reason="needs the extra geo")
from rasterio.control import GroundControlPoint  # noqa: E402
from rasterio.rpc import RPC  # noqa: E402
from rasterio.transform import Affine  # noqa: E402


def from_origin(west: float, north: float, across: float, down: float) -> Affine:
    return Affine(across, 0, west, 0, -down, north)


#: Of a user's own, in US feet: it stands in no list.
OWN = "+proj=tmerc +lat_0=48 +lon_0=2 +k=1 +x_0=0 +y_0=0 +ellps=WGS84 +units=us-ft"

#: CRS, transform, and what GeoJSON calls the CRS.
PLACES: dict[str, tuple[str, Affine, str | None]] = {
    "UTM": ("EPSG:32631", from_origin(500_000, 5_400_000, 0.5, 0.5), "urn:ogc:def:crs:EPSG::32631"),
    "longitude and latitude": ("EPSG:4326", from_origin(2.3, 48.8, 5e-6, 4e-6), None),
    "turned and sheared": (
        "EPSG:2154",
        Affine(0.3, 0.1, 652_000, 0.12, -0.28, 6_862_000),
        "urn:ogc:def:crs:EPSG::2154",
    ),
    "northing first": ("EPSG:31467", from_origin(3_500_000, 5_400_000, 1, 1), "urn:ogc:def:crs:EPSG::31467"),
    "latitude first": ("EPSG:4258", from_origin(-70, -20, 1e-5, 1e-5), "urn:ogc:def:crs:EPSG::4258"),
    "rows from below": ("EPSG:3857", Affine(1, 0, 0, 0, 1, 8_399_737), "urn:ogc:def:crs:EPSG::3857"),
    "another authority": ("ESRI:102003", from_origin(0, 0, 2, 2), "urn:ogc:def:crs:ESRI::102003"),
    "with heights": ("EPSG:32631+5773", from_origin(500_000, 5_400_000, 0.5, 0.5), "COMPD_CS["),
    "in no list": (OWN, from_origin(0, 0, 1, 1), "PROJCS["),
}


def image(path: Path, crs: str | None = None, transform: Affine | None = None, **rest: Any) -> Path:
    """A GeoTIFF of 64 x 48 pixels."""
    path.parent.mkdir(parents=True, exist_ok=True)
    profile = {"driver": "GTiff", "width": 64, "height": 48, "count": 3, "dtype": "uint8"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with rasterio.open(path, "w", **profile, crs=crs, transform=transform, **rest) as opened:
            opened.write(np.zeros((3, 48, 64), np.uint8))
    return path


def placed(transform: Affine, x: float, y: float) -> tuple[float, float]:
    return transform.a * x + transform.b * y + transform.c, transform.d * x + transform.e * y + transform.f


def on_map(path: Path, number: int = 30) -> tuple[ImageRecord, Path]:
    """Random objects in an image, and the GeoJSON of them."""
    one = replace(result(path.stem, number, (64, 48)), path=path)
    (writer,) = open_writers(["geojson"], path.parent, CLASSES)
    writer.add(one)
    assert writer.close() == [path.parent / "geojson"]
    return one, path.parent / "geojson" / f"{path.stem}.geojson"


@pytest.mark.parametrize("place", PLACES)
def test_geopandas_finds_them_where_they_are(tmp_path: Path, place: str) -> None:
    geopandas, pyproj = pytest.importorskip("geopandas"), pytest.importorskip("pyproj")
    crs, transform, name = PLACES[place]
    path = image(tmp_path / "x.tif", crs, transform)
    check(["geojson"], [("x", path)], CLASSES)
    one, file = on_map(path)
    table = geopandas.read_file(file)
    assert table.crs.equals(pyproj.CRS(crs), ignore_axis_order=True)
    with rasterio.open(path) as opened:
        # GDAL's coordinates of pixels' centres, which are whole numbers in rotx.
        centres = np.stack(opened.xy([0, 47, 47], [0, 0, 63]), axis=1)
    at = Georeference.of(path).at(np.array([[0, 0], [0, 47], [63, 47.0]]))
    np.testing.assert_allclose(at, centres, rtol=0, atol=1e-6 * abs(transform.a))
    for shape, quad in zip(table.geometry, one.instances.quads.reshape(-1, 4, 2), strict=True):
        ring = np.array(shape.exterior.coords)
        corners = np.array([placed(transform, x + 0.5, y + 0.5) for x, y in quad])
        assert shape.is_valid and shape.exterior.is_ccw and len(ring) == 5
        pairs = np.abs(ring[:4, None] - corners).max(-1)
        assert (pairs.min(0) < 1e-6 * abs(transform.a)).all() and len(set(pairs.argmin(0))) == 4
    data = json.loads(file.read_text())
    assert data["type"] == "FeatureCollection" and ("crs" in data) == (name is not None)
    assert name is None or data["crs"]["properties"]["name"].startswith(name)
    assert list(table["class"]) == [CLASSES[label] for label in one.instances.labels]
    np.testing.assert_array_equal(table["score"], one.instances.scores)
    np.testing.assert_array_equal(table["angle"], one.instances.rboxes[:, 4])


@pytest.mark.parametrize("place", PLACES)
def test_sizes_are_those_of_geodesics(tmp_path: Path, place: str) -> None:
    pyproj = pytest.importorskip("pyproj")
    crs, transform, _ = PLACES[place]
    one, file = on_map(image(tmp_path / "x.tif", crs, transform))
    to_degrees = pyproj.Transformer.from_crs(crs, "EPSG:4326", always_xy=True)
    for feature, quad in zip(json.loads(file.read_text())["features"], one.instances.quads, strict=True):
        corners = quad.reshape(4, 2) + 0.5
        middles = [to_degrees.transform(*placed(transform, *p)) for p in (corners + np.roll(corners, -1, 0)) / 2]
        lines = [(*middles[3], *middles[1]), (*middles[0], *middles[2])]
        sizes = sorted(pyproj.Geod(ellps="WGS84").inv(*line)[2] for line in lines)
        found = feature["properties"]
        assert [found["width_m"], found["length_m"]] == pytest.approx(sizes, rel=1e-6, abs=1e-5)


def test_sizes_in_units_of_the_map(tmp_path: Path) -> None:
    """UTM has true metres to 0.04 %, feet are feet, and Web Mercator's metres at 60° N are half as long."""
    boxes = np.array([[30.0, 20, 40, 10, 0.3]])
    for place, metre in (("UTM", 0.5), ("in no list", 0.3048006), ("rows from below", 0.5010)):
        crs, transform, _ = PLACES[place]
        sizes = Georeference.of(image(tmp_path / f"{place}.tif", crs, transform)).ground_size(boxes)
        np.testing.assert_allclose(np.ravel(sizes), [40 * metre, 10 * metre], rtol=3e-3)


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.tif")
    check(["geojson"], [("x", tmp_path / "x.tif")], CLASSES)  # it is said when it is looked at
    with pytest.raises(UnreadableImage, match="is not a regular file"):
        Georeference.of(tmp_path / "x.tif")


def test_what_lies_beyond_the_earth_has_no_size(tmp_path: Path) -> None:
    """The earth as a satellite sees it: sky is in the corners."""
    path = image(tmp_path / "x.tif", "+proj=ortho +lat_0=0 +lon_0=0", from_origin(-6.4e6, 4.8e6, 2e5, 2e5))
    one, file = on_map(path)
    features = json.loads(file.read_text(), parse_constant=pytest.fail)["features"]
    known = [feature["properties"]["length_m"] for feature in features]
    assert len(known) == len(one.instances) and None in known
    assert all(metres > 0 for metres in known if metres is not None) and any(known)


@pytest.mark.parametrize("compress", ["none", "deflate", "jpeg"])
@pytest.mark.parametrize("interleave", ["pixel", "band"])
def test_tiles_that_are_left_out_are_zeros(tmp_path: Path, compress: str, interleave: str) -> None:
    """GDAL writes no tiles of zeros if it is told so, as for mosaics with gaps."""
    profile = {"driver": "GTiff", "width": 100, "height": 90, "count": 3, "dtype": "uint8", "tiled": True}
    profile |= {"blockxsize": 32, "blockysize": 48, "SPARSE_OK": "TRUE", "interleave": interleave}
    profile |= {"compress": compress, "crs": "EPSG:32631", "transform": from_origin(500_000, 5_400_000, 1, 1)}
    pixels = np.random.default_rng(0).integers(1, 256, (3, 90, 100), np.uint8)
    pixels[:, :, 64:96] = pixels[:, 48:] = 0
    with rasterio.open(tmp_path / "x.tif", "w", **profile) as opened:
        opened.write(pixels)
    with rasterio.open(tmp_path / "x.tif") as opened:
        stored = opened.read().transpose(1, 2, 0)[..., ::-1]
    source = WindowedImage(tmp_path / "x.tif")
    np.testing.assert_array_equal(source.whole(), stored)
    np.testing.assert_array_equal(source.read(np.array([20, 30, 98, 88])), stored[30:88, 20:98])


def test_distances_everywhere_on_the_ellipsoid() -> None:
    pyproj = pytest.importorskip("pyproj")
    rng = np.random.default_rng(0)
    lon, lat, towards = rng.uniform(-180, 180, 2000), rng.uniform(-90, 90, 2000), rng.uniform(0, 360, 2000)
    lat[:10], lon[10:20] = 90, 180  # over the pole, over the date line
    for metres in (0.1, 50.0, 10_000.0):
        there = pyproj.Geod(ellps="WGS84").fwd(lon, lat, towards, np.full(2000, metres))[:2]
        found = ground_distance(np.stack([lon, lat], 1), np.stack(there, 1))
        np.testing.assert_allclose(found, metres, rtol=1e-7, atol=1e-7)


def test_an_image_without_objects(tmp_path: Path) -> None:
    geopandas = pytest.importorskip("geopandas")
    _, file = on_map(image(tmp_path / "x.tif", *PLACES["UTM"][:2]), number=0)
    table = geopandas.read_file(file)
    assert len(table) == 0 and table.crs.to_epsg() == 32631


# Images that the map has no place for

POINTS = [GroundControlPoint(y, x, 500_000 + x, 5_400_000 - y) for x, y in ((0, 0), (64, 0), (0, 48), (64, 48))]
ONES = [1.0] * 20
MODEL = RPC(100, 500, 48, 10, ONES, ONES, 20, 20, 2, 10, ONES, ONES, 30, 30)

UNPLACED: dict[str, tuple[dict[str, Any], str]] = {
    "nothing": ({}, "has no georeference: no CRS, no affine transform"),
    "points": (
        {"gcps": POINTS, "crs": "EPSG:32631"},
        "is georeferenced by ground control points only, without",
    ),
    "a model": ({"rpcs": MODEL}, r"is georeferenced by a sensor model \(RPC\) only, without an affine"),
    "no transform": ({"crs": "EPSG:32631"}, "has a CRS, but no affine transform"),
    "no CRS": ({"transform": from_origin(5, 5, 1, 1)}, r"has an affine transform, but no CRS: set it first"),
    "a line": ({"crs": "EPSG:32631", "transform": Affine(1, 1, 5, 1, 1, 5)}, "maps all pixels to a line"),
    "a workshop": (
        {"crs": 'LOCAL_CS["table",UNIT["metre",1]]', "transform": from_origin(5, 5, 1, 1)},
        "has a CRS that is neither geographic nor projected",
    ),
}


@pytest.mark.parametrize("kind", UNPLACED)
def test_what_is_missing_is_said(tmp_path: Path, kind: str) -> None:
    keys, message = UNPLACED[kind]
    path = image(tmp_path / "x.tif", **keys)
    with pytest.raises(NotPlaced, match=message) as caught:
        Georeference.of(path)
    assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)


def test_images_without_a_place_stop_a_run_before_it_begins(tmp_path: Path) -> None:
    good, png = image(tmp_path / "good.tif", *PLACES["UTM"][:2]), tmp_path / "photo.png"
    Image.new("RGB", (64, 48)).save(png)
    (tmp_path / "film.mp4").write_bytes(b"film")
    (tmp_path / "broken.tif").write_bytes(good.read_bytes()[:100])
    inputs = [(path.stem, path) for path in (good, png, tmp_path / "film.mp4", tmp_path / "broken.tif")]
    with pytest.raises(ValueError) as caught:
        check(["json", "geojson"], inputs, CLASSES)
    assert str(caught.value) == (
        f"{png}: has no georeference: no CRS, no affine transform (and 1 more): leave out geojson, or these images"
    )
    with pytest.raises(ValueError, match=r"film\.mp4: is not a GeoTIFF: leave out geojson"):
        check(["geojson"], [inputs[0], inputs[2]], CLASSES)
    check(["json"], inputs, CLASSES)
    check(["geojson"], [inputs[0], inputs[3]], CLASSES)  # a damaged image is named when it is looked at
    with pytest.raises(UnreadableImage, match=r"broken\.tif: GDAL cannot read it"):
        Georeference.of(tmp_path / "broken.tif")


def test_a_run_goes_on_without_them(tmp_path: Path) -> None:
    """Files can change after the check: the other formats and images are written."""
    good = image(tmp_path / "good.tif", *PLACES["UTM"][:2])
    writers = open_writers(["json", "geojson"], tmp_path / "out", CLASSES)
    inputs = [
        (good, (64, 48)),
        (image(tmp_path / "bad.tif"), (64, 48)),
        (good, (48, 64)),
        (tmp_path / "no.tif", (64, 48)),
    ]
    with pytest.warns(UserWarning) as caught:
        for number, (file, size) in enumerate(inputs):
            for writer in writers:
                writer.add(replace(result(f"a/{number}", 2, size), path=file))
    assert [str(warning.message) for warning in caught] == [
        f"{tmp_path}/bad.tif: has no georeference: no CRS, no affine transform; skipped in geojson",
        f"{good}: has a georeference for 64 x 48 pixels, but is read as 48 x 64: remove its orientation tag; "
        "skipped in geojson",
        f"{tmp_path}/no.tif: GDAL cannot read it; skipped in geojson",
    ]
    for writer in writers:
        writer.close()
    assert [path.name for path in (tmp_path / "out/geojson").rglob("*") if path.is_file()] == ["0.geojson"]
    assert len(json.loads((tmp_path / "out/predictions.json").read_text())) == 4


def test_without_rasterio(tmp_path: Path) -> None:
    """All else works, and the error says what to install."""
    code = (
        "import sys; sys.modules['rasterio'] = None\n"
        "from rotx.inference.outputs import check\n"
        "check(['json', 'dota', 'coco', 'yolo'], [], ['ship'])\n"
        "try: check(['geojson'], [], ['ship'])\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "geojson needs rasterio: pip install 'rotx[geo]'\n"


def test_rings_close_and_turn_left_whatever_the_transform() -> None:
    """Also those that mirror the image."""
    boxes = result("x", 50).instances
    for a, b, d, e in ((1, 0, 0, -1), (1, 0, 0, 1), (-1, 0, 0, -1), (0, 2, 1, 0), (0.3, -0.7, 0.9, 0.2)):
        rings = Georeference(np.array([[a, b, 7e5], [d, e, 6e6]]), None, None).rings(boxes.quads)
        np.testing.assert_array_equal(rings[:, 0], rings[:, 4])
        assert shapely.is_ccw(shapely.linearrings(rings)).all()
        areas = shapely.area(shapely.polygons(rings)) / abs(a * e - b * d)
        np.testing.assert_allclose(areas, boxes.rboxes[:, 2] * boxes.rboxes[:, 3], rtol=1e-6)
