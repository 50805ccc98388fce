"""TIFFs that `rotx._rust` and OpenCV refuse, read by rasterio; the same pixels in Deflate are what they must show."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray

from rotx import _rust
from rotx.annotations.check.images import decode
from rotx.cli import main
from rotx.images.files import UnreadableImage, read_image
from rotx.images.preview import preview
from rotx.images.window_cache import WindowCache, open_image
from rotx.records import Window
from rotx.tiling.windowed_image import WindowedImage

rasterio = pytest.importorskip("rasterio", reason="needs the extra geo")

WIDTH, HEIGHT = 150, 110
TILED = {"tiled": True, "blockxsize": 64, "blockysize": 32}


def write(path: Path, bands: NDArray[Any], **options: Any) -> Path:
    """A TIFF of bands (B, H, W)."""
    count, height, width = bands.shape
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        shape = {"count": count, "height": height, "width": width, "dtype": bands.dtype}
        with rasterio.open(path, "w", driver="GTiff", **shape, **options) as out:
            if colours := options.get("palette"):
                out.write_colormap(1, colours)
            out.write(bands)
    return path


def scene(count: int, kind: str = "uint8") -> NDArray[Any]:
    """Smooth bands with noise, of the whole range of a type."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    slopes = [(x + i * y) / (WIDTH + i * HEIGHT) for i in range(count)]
    noise = np.random.default_rng(0).uniform(-0.02, 0.02, (count, HEIGHT, WIDTH))
    return ((np.stack(slopes) + noise).clip(0, 1) * np.iinfo(kind).max).astype(kind)


def by_rust(path: Path) -> NDArray[np.uint8]:
    reader = _rust.ImageReader(path)
    return reader.read(0, 0, reader.width, reader.height)


@pytest.mark.parametrize("compression", ["zstd", "lzma", "lerc", "webp"])
@pytest.mark.parametrize("layout", [{}, TILED], ids=["strips", "tiles"])
@pytest.mark.parametrize(
    ("count", "kind", "options"),
    [
        (1, "uint8", {}),
        (1, "uint16", {}),
        (1, "uint8", {"photometric": "MINISWHITE"}),
        (2, "uint8", {}),
        (3, "uint8", {}),
        (3, "uint8", {"interleave": "band"}),
        (3, "uint16", {"photometric": "RGB"}),
        (4, "uint8", {"photometric": "RGB", "alpha": "yes"}),
        (4, "uint8", {"photometric": "RGB", "alpha": "unspecified"}),
        (4, "uint8", {"photometric": "CMYK"}),
        (7, "uint8", {"photometric": "RGB"}),
        (7, "uint16", {}),
        (1, "uint8", {"palette": {i: (i, 255 - i, i * 7 % 256, 255) for i in range(256)}}),
    ],
    ids=str,
)
def test_the_same_pixels_in_every_compression(
    compression: str, layout: dict[str, Any], count: int, kind: str, options: dict[str, Any], tmp_path: Path
) -> None:
    if compression == "webp" and (count not in (3, 4) or kind != "uint8" or {"interleave", "alpha"} & {*options}):
        return  # WebP holds 3 or 4 bands of 8 bits together, and changes colours under alpha 0
    bands = scene(count, kind)
    options = options | layout
    want = by_rust(write(tmp_path / "known.tif", bands, compress="deflate", **options))
    lossless = {"webp_lossless": True} if compression == "webp" else {}
    path = write(tmp_path / "other.tif", bands, compress=compression, **options, **lossless)
    with pytest.raises(ValueError, match="is not read"):
        _rust.ImageReader(path)

    reader = open_image(path)
    assert (reader.width, reader.height) == (WIDTH, HEIGHT)
    assert reader.block == ((64, 32) if layout else (WIDTH, reader.block[1]))
    np.testing.assert_array_equal(reader.read(0, 0, WIDTH, HEIGHT), want)
    np.testing.assert_array_equal(reader.read(37, 41, 70, 13), want[41:54, 37:107])
    np.testing.assert_array_equal(read_image(path), want)
    image = WindowedImage(path)
    np.testing.assert_array_equal(image.whole(), want)
    np.testing.assert_array_equal(image.read(np.array([90, 50, 150, 110])), want[50:110, 90:150])
    cached = WindowCache().read(path, Window((100, 80, 200, 180), (1, 2, 3), 1 << 20))
    np.testing.assert_array_equal(cached[:30, :50], want[80:, 100:])
    assert (cached[30:] == (1, 2, 3)).all() and (cached[:, 50:] == (1, 2, 3)).all()


def test_twelve_bits(tmp_path: Path) -> None:
    bands = scene(3, "uint16") >> 4
    grey = open_image(write(tmp_path / "grey.tif", bands[:1], nbits=12)).read(0, 0, WIDTH, HEIGHT)
    np.testing.assert_array_equal(grey, np.repeat((bands[0] >> 4)[..., None], 3, 2))
    rgb = open_image(write(tmp_path / "rgb.tif", bands, nbits=12, photometric="RGB")).read(0, 0, WIDTH, HEIGHT)
    np.testing.assert_array_equal(rgb[..., ::-1], np.rint(bands / 4095 * 255).transpose(1, 2, 0))


def test_fax(tmp_path: Path) -> None:
    bands = (scene(1) > 100).astype(np.uint8)
    path = write(tmp_path / "fax.tif", bands, nbits=1, compress="ccittfax4")
    pixels = open_image(path).read(0, 0, WIDTH, HEIGHT)
    np.testing.assert_array_equal(pixels, cv2.imread(str(path)))
    assert set(np.unique(pixels)) == {0, 255}


def test_only_the_windows_that_are_needed_are_read(tmp_path: Path) -> None:
    """The rest of a file may even be damaged."""
    path = write(tmp_path / "a.tif", scene(3), compress="zstd", **TILED)
    want = read_image(path)
    content = bytearray(path.read_bytes())
    content[-200:] = b"\0" * 200  # the last tile
    path.write_bytes(content)
    image = WindowedImage(path)
    np.testing.assert_array_equal(image.read(np.array([0, 0, 64, 64])), want[:64, :64])
    with pytest.raises(UnreadableImage, match="is damaged: GDAL cannot read its pixels"):
        image.read(np.array([100, 90, 150, 110]))
    for read in (read_image, lambda path: WindowedImage(path).whole()):
        with pytest.raises(UnreadableImage, match=f"^{path}: "):
            read(path)
    assert "is damaged" in decode(path).problem


def test_memory_is_that_of_a_row_of_windows(tmp_path: Path) -> None:
    """Of an image of 108 MB; GDAL itself would keep all of it."""
    pytest.importorskip("resource", reason="Windows has no such module")
    row = np.random.default_rng(0).integers(0, 255, (3, 1, 6000), np.uint8)
    path = write(tmp_path / "a.tif", np.broadcast_to(row, (3, 6000, 6000)), compress="zstd", **TILED)
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from rotx.tiling.windowed_image import WindowedImage, grid\n"
        "image = WindowedImage(Path(sys.argv[1]))\n"
        "windows = grid(image.width, image.height, 512, 100)\n"
        "image.read(windows[0])\n"
        "before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "for window in windows: image.read(window)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True, timeout=120)
    unit = 1 if sys.platform == "darwin" else 1024
    assert int(done.stdout) * unit < 80e6


def test_previews_and_checks(tmp_path: Path) -> None:
    bands = scene(3)
    known = write(tmp_path / "known.tif", bands, compress="deflate")
    other = write(tmp_path / "other.tif", bands, compress="lerc")
    np.testing.assert_array_equal(preview(other, 40), preview(known, 40))
    assert decode(other) == decode(known)


def test_patches(tmp_path: Path) -> None:
    """`rotx split` decodes such a TIFF whole; a window beside it shows the same pixels."""
    (tmp_path / "in").mkdir()
    want = by_rust(write(tmp_path / "known.tif", scene(3), compress="deflate"))
    write(tmp_path / "in/a.tif", scene(3), compress="zstd")
    command = ["split", str(tmp_path / "in"), str(tmp_path / "out"), "--size", "64", "--gap", "16"]
    result = CliRunner().invoke(main, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    patch = cv2.imread(str(tmp_path / "out/images/a__64__48___0.png"))
    np.testing.assert_array_equal(patch, want[:64, 48:112])


@pytest.mark.parametrize("kind", ["float32", "int16", "uint32", "complex64"])
def test_samples_without_a_colour_are_refused(kind: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", scene(1).astype(kind), compress="zstd")
    with pytest.raises(UnreadableImage, match=f"is a TIFF of {kind}: only numbers without sign of up to 16 bits"):
        open_image(path)
    plain = write(tmp_path / "b.tif", scene(1).astype(kind), compress="deflate")
    with pytest.raises(UnreadableImage, match="16 bits"):
        open_image(plain)


def test_a_damaged_file_of_a_known_kind_keeps_its_reason(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", scene(3), compress="deflate")
    path.write_bytes(path.read_bytes()[:-2000])
    for opened in (open_image, WindowedImage):
        with pytest.raises(UnreadableImage, match="is cut off: the end of the image is missing"):
            opened(path)


def test_without_rasterio(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", scene(3), compress="zstd")
    code = (
        "import sys; sys.modules['rasterio'] = None\n"
        "from pathlib import Path\n"
        "from rotx.images.files import read_image\n"
        "from rotx.images.window_cache import open_image\n"
        "from rotx.tiling.windowed_image import WindowedImage\n"
        "for read in (read_image, open_image, WindowedImage):\n"
        "    try: read(Path(sys.argv[1]))\n"
        "    except ValueError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, timeout=60)
    lines = done.stdout.splitlines()
    assert len(lines) == 3 and lines[1] == lines[2]
    assert all(line.startswith(f"{path}: ") and line.endswith("pip install 'rotx[geo]'") for line in lines)
    assert "compressed by ZSTD (50000), which is not read" in lines[1]
