"""Pictures: text hides no object, and huge images become previews that OpenCV's averages would be."""

from __future__ import annotations

import struct
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from results import CLASSES, result
from rotx.images import preview
from rotx.images.draw import CELL, class_colour, draw_boxes
from rotx.images.files import UnreadableImage
from rotx.inference.outputs import draw
from rotx.inference.prediction import Prediction
from rotx.records import ImageRecord
from tiffs import write_tiff

Pixels = NDArray[np.uint8]


def noise(height: int, width: int) -> Pixels:
    return np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)


def found(rboxes: list[list[float]], names: list[str] | None = None) -> Prediction:
    names = names or ["ship"] * len(rboxes)
    labels = np.array([sorted(set(names)).index(name) for name in names])
    return Prediction("x", np.array(rboxes, float).reshape(-1, 5), np.full(len(names), 0.5), labels, tuple(names))


def save(path: Path, pixels: Pixels) -> Path:
    """By its suffix; TIFF in tiles, so that bands are of whole tiles."""
    if path.suffix == ".tif":
        write_tiff(path, pixels[..., ::-1], 2, compression=8, tile=(32, 48))
    else:
        path.write_bytes(cv2.imencode(path.suffix, pixels)[1].tobytes())
    return path


# Previews


@pytest.mark.parametrize("band", [1, 3 * 331 * 7, 1 << 24])
@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp", ".webp"])
@pytest.mark.parametrize("longest", [1, 40, 100, 256, 330])
def test_previews_are_averages_of_areas(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, band: int, suffix: str, longest: int
) -> None:
    """Of bands of a row, of some rows, and of all; sides that divide nothing."""
    monkeypatch.setattr(preview, "BAND_BYTES", band)
    path = save(tmp_path / f"x{suffix}", noise(257, 331))
    pixels = cv2.imread(str(path))
    assert pixels is not None
    size = (longest, max(1, round(257 * longest / 331)))
    expected = cv2.resize(pixels.astype(np.float32), size, interpolation=cv2.INTER_AREA)
    shown = preview.preview(path, longest)
    assert shown.shape == (size[1], size[0], 3) and shown.dtype == np.uint8
    assert np.abs(shown - expected).max() < 1.01  # rounded twice


@pytest.mark.parametrize("shape", [(1, 5000), (5000, 1), (3, 9001), (64, 64)])
def test_previews_of_odd_shapes(tmp_path: Path, shape: tuple[int, int]) -> None:
    pixels = noise(*shape)
    path = save(tmp_path / "x.png", pixels)
    np.testing.assert_array_equal(preview.preview(path, max(shape)), pixels)
    small = preview.preview(path, 50)
    assert max(small.shape[:2]) == 50 and min(small.shape[:2]) >= 1
    assert abs(small.mean() - pixels.mean()) < 3


def test_boxes_are_where_they_are_in_the_image(tmp_path: Path) -> None:
    """An object's pixels are bright; in the preview its outline runs around the bright ones."""
    pixels = np.zeros((3000, 4000, 3), np.uint8)
    pixels[1000:1400, 2000:2800] = 255
    path = save(tmp_path / "x.png", pixels)
    one = ImageRecord("x", path, found([[2399.5, 1199.5, 800, 400, 0]]).instances, (3000, 4000))
    draw(one, CLASSES, tmp_path / "deep/er/x.jpg", longest=1000)
    drawn = cv2.imread(str(tmp_path / "deep/er/x.jpg"))
    assert drawn is not None and drawn.shape == (750, 1000, 3)
    red = (drawn[..., 2] > 150) & (drawn[..., 1] < 100)
    rows, columns = np.nonzero(red[248:360, 490:])
    assert abs(rows.min() + 248 - 250) <= 2 and abs(rows.max() + 248 - 349) <= 2
    assert abs(columns.min() + 490 - 500) <= 2 and abs(columns.max() + 490 - 699) <= 2
    assert (drawn[255:345, 505:695] > 200).all()
    assert [path.name for path in (tmp_path / "deep/er").iterdir()] == ["x.jpg"]


def test_images_that_cannot_be_drawn(tmp_path: Path) -> None:
    (tmp_path / "x.png").write_bytes(b"text")
    save(tmp_path / "cut.png", noise(200, 300))
    (tmp_path / "cut.png").write_bytes((tmp_path / "cut.png").read_bytes()[:50_000])
    for name in ("x.png", "absent.png", "cut.png"):
        for longest in (100, 4096):
            with pytest.raises(UnreadableImage, match=name):
                draw(replace(result("x"), path=tmp_path / name), CLASSES, tmp_path / "out/x.jpg", longest)
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match="file"):
        draw(replace(result("x"), path=save(tmp_path / "y.png", noise(9, 9))), CLASSES, tmp_path / "file/x.jpg")
    assert not (tmp_path / "out").exists()


def huge(path: Path, side: int) -> None:
    """A grey PNG of equal rows."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    row, packed = bytes(1) + bytes(i // 100 % 256 for i in range(side)), zlib.compressobj(1)
    data = b"".join([packed.compress(row * 100) for _ in range(side // 100)]) + packed.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b""))


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="reads the memory in use from /proc")
def test_memory_for_a_huge_image(tmp_path: Path) -> None:
    """20,000 x 20,000 pixels, 1.2 GB, with 20,000 objects."""
    huge(tmp_path / "x.png", 20_000)
    code = (
        "import sys; from pathlib import Path; from results import CLASSES, result\n"
        "from rotx.inference.outputs import draw\n"
        "def memory(key):\n"
        "    lines = Path('/proc/self/status').read_text().splitlines()\n"
        "    return int(next(line for line in lines if line.startswith(key)).split()[1]) / 1024\n"
        "one, before = result('x', 20_000, (20_000, 20_000), file=Path(sys.argv[1])), memory('VmRSS')\n"
        "draw(one, CLASSES, Path(sys.argv[2]))\n"
        "print(memory('VmHWM') - before)\n"
    )
    arguments = [tmp_path / "x.png", tmp_path / "x.jpg"]
    here = Path(__file__).parent
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, cwd=here)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) < 150
    drawn = cv2.imread(str(tmp_path / "x.jpg"), cv2.IMREAD_REDUCED_GRAYSCALE_8)
    assert drawn is not None and drawn.shape == (512, 512)


# Text


def boxes_only(image: Pixels, one: Prediction) -> Pixels:
    return draw_boxes(image, one.rboxes, one.labels)


def captioned(image: Pixels, one: Prediction) -> Pixels:
    captions = [f"{name} {score:.2f}" for name, score in zip(one.classes, one.scores, strict=True)]
    return draw_boxes(image, one.rboxes, one.labels, captions, one.classes)


@pytest.mark.parametrize("shape", [(400, 600), (1500, 1100), (256, 256)])
def test_text_hides_no_box(shape: tuple[int, int]) -> None:
    """Apart from the legend in a corner, boxes look as without captions; where there is room, captions stand."""
    image = np.full((*shape, 3), 128, np.uint8)
    one = Prediction.of("x", result("x", 40, (shape[1], shape[0])).instances, CLASSES)
    plain, drawn = boxes_only(image, one), captioned(image, one)
    inside = np.zeros(shape, np.uint8)
    for quad in one.quads.reshape(-1, 4, 2).round().astype(np.int32):
        cv2.fillPoly(inside, [quad], 1)
    changed = (plain != drawn).any(2)
    assert changed.sum() > 1000
    changed[:80, :160] = changed[-80:, :160] = changed[:80, -160:] = changed[-80:, -160:] = False  # the legend
    assert not (changed & (inside > 0)).any()


def test_captions_stand_apart() -> None:
    """One under the other where there is room; of boxes in a heap, the first has its caption."""
    image = np.zeros((400, 400, 3), np.uint8)
    free = found([[200, 50, 60, 20, 0], [200, 200, 60, 20, 0], [200, 350, 60, 20, 0]])
    added = (captioned(image, free) != boxes_only(image, free)).any(2)
    assert all(added[top:bottom].any() for top, bottom in ((10, 40), (160, 190), (310, 340)))
    assert not added[45:155].any() and not added[205:305].any() and not added[355:].any()
    heap = found([[200, 200, 60, 20, 0.01 * i] for i in range(9)])
    added = (captioned(image, heap) != boxes_only(image, heap)).any(2)
    assert added[165:190].any() and added[210:240].any() and added[:20, :60].any()  # two captions and the legend
    assert not added[30:160].any() and not added[250:].any()


def test_the_legend_says_which_colour_is_which_class() -> None:
    """In the emptiest corner, where captions have no room."""
    image = np.zeros((300, 300, 3), np.uint8)
    names = ["plane", "ship"] * 30
    one = found([[80, 10 * i // 2, 160, 10, 0] for i in range(60)], names)
    drawn = captioned(image, one)
    corner = drawn[:30, 200:].reshape(-1, 3)
    assert {tuple(map(int, colour)) for colour in np.unique(corner, axis=0)} >= {class_colour(0), class_colour(1)}
    few = captioned(image, found([[80, 100, 60, 20, 0]]))
    assert not few[:30, 200:].any()


def test_lines_are_thin_around_small_objects() -> None:
    """The inside of an object of eight pixels can be seen in a large picture."""
    drawn = draw_boxes(
        np.zeros((3000, 3000, 3), np.uint8),
        np.array([[100, 100, 12, 8, 0], [1000, 1000, 900, 400, 0.0]]),
        np.array([0, 0]),
    )
    assert not drawn[98:103, 97:104].any() and drawn[95:106].any()
    assert (drawn[1000, 540:560].any(1)).sum() >= 4


@pytest.mark.parametrize("shape", [(1, 1), (3, 400), (400, 2), (CELL + 1, CELL + 1)])
def test_tiny_pictures(shape: tuple[int, int]) -> None:
    drawn = captioned(np.zeros((*shape, 3), np.uint8), found([[0, 0, 5, 5, 0], [1e7, 1e7, 4, 4, 0], [2, 2, 1e9, 1, 1]]))
    assert drawn.shape == (*shape, 3)
