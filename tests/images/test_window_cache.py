"""The cache of windows: pixels as in the file in any order, and neither more memory nor more decoding than needed."""

from __future__ import annotations

import dataclasses
import multiprocessing
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from rotx.images import window_cache
from rotx.images.files import UnreadableImage
from rotx.images.window_cache import Reader, WindowCache, open_image, read_record, reading_order
from rotx.records import ImageRecord, Instances, Window

GREY = (104, 116, 124)
Pixels = NDArray[np.uint8]


def write(path: Path, width: int, height: int, seed: int = 0) -> Pixels:
    """An image file without losses, and its pixels."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    options = [cv2.IMWRITE_WEBP_QUALITY, 101] if path.suffix == ".webp" else []
    assert cv2.imwrite(str(path), pixels, options)
    return pixels


def crop(pixels: Pixels, area: tuple[int, int, int, int], padding: tuple[int, ...] | None) -> Pixels:
    """The obvious way to a window."""
    x0, y0, x1, y1 = area
    part = pixels[y0:y1, x0:x1]
    if padding is None:
        return part
    below, right = y1 - y0 - part.shape[0], x1 - x0 - part.shape[1]
    return cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_CONSTANT, value=padding)


def areas(width: int, height: int, count: int, seed: int = 0) -> list[tuple[int, int, int, int]]:
    """Random windows that start in the image; some reach beyond it."""
    rng = np.random.default_rng(seed)
    corners = np.column_stack([rng.integers(0, width, count), rng.integers(0, height, count)])
    sides = rng.integers(1, 150, (count, 2))
    return [tuple(row) for row in np.hstack([corners, corners + sides]).tolist()]


class Counting:
    """A reader of pixels that remembers which blocks it was asked for."""

    def __init__(self, pixels: Pixels, block: tuple[int, int]) -> None:
        self.pixels, self.block, self.asked = pixels, block, list[tuple[int, int]]()
        self.height, self.width = pixels.shape[:2]

    def read(self, x: int, y: int, width: int, height: int) -> Pixels:
        self.asked.append((x, y))
        return self.pixels[y : y + height, x : x + width].copy()


@pytest.fixture
def counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Makes a file whose reader counts; gives its path and the reader."""

    def made(width: int, height: int, block: tuple[int, int], name: str = "a.png") -> tuple[Path, Counting]:
        reader = Counting(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8), block)
        (tmp_path / name).touch()
        readers[tmp_path / name] = reader
        return tmp_path / name, reader

    readers: dict[Path, Reader] = {}
    monkeypatch.setattr(window_cache, "open_image", readers.__getitem__)
    return made


@pytest.mark.parametrize("budget", [0, 70_000, 200_000, 10**9])
def test_windows_in_any_order_and_of_several_files(tmp_path: Path, budget: int) -> None:
    cache, images = WindowCache(), {}
    for i, (name, width, height) in enumerate(
        (("a.png", 300, 217), ("tall.png", 90, 400), ("small.png", 5, 7), ("b.webp", 130, 120), ("c.PPM", 64, 64))
    ):
        images[tmp_path / name] = write(tmp_path / name, width, height, i)
    wanted = [(path, area) for path, p in images.items() for area in areas(p.shape[1], p.shape[0], 40)]
    for i in np.random.default_rng(1).permutation(len(wanted)):
        path, area = wanted[i]
        padding = GREY if i % 2 else None
        found = cache.read(path, Window(area, padding, budget))
        np.testing.assert_array_equal(found, crop(images[path], area, padding))
        assert cache.bytes <= budget and found.flags.writeable
        found[...] = 7  # the caller's own: the next reader must not see it


def test_a_window_costs_no_more_than_its_blocks(counted: Any) -> None:
    path, reader = counted(250, 250, (64, 64))
    cache = WindowCache()
    cache.read(path, Window((70, 10, 140, 70), None, 10**6))
    assert sorted(reader.asked) == [(64, 0), (64, 64), (128, 0), (128, 64)]
    cache.read(path, Window((100, 60, 200, 70), None, 10**6))
    assert sorted(reader.asked[4:]) == [(192, 0), (192, 64)]
    assert cache.bytes == (4 * 64 * 64 + 2 * 58 * 64) * 3


def test_rows_from_the_top_are_decoded_once(counted: Any) -> None:
    path, reader = counted(100, 330, (100, 64))
    other, _ = counted(100, 330, (100, 64), "other.png")
    cache, bottom = WindowCache(), Window((0, 200, 50, 330), None, 10**6)
    cache.read(path, bottom._replace(area=(0, 0, 9, 64)))
    cache.read(other, bottom._replace(area=(0, 64, 9, 128)))
    cache.read(path, bottom)
    assert reader.asked == [(0, y) for y in range(0, 330, 64)]
    for area in areas(100, 330, 20):
        cache.read(path, bottom._replace(area=area))
    assert len(reader.asked) == 6 and cache.bytes == 100 * (330 + 128) * 3


def test_reading_goes_on_below_what_was_forgotten(counted: Any) -> None:
    path, reader = counted(100, 320, (100, 64))
    other, _ = counted(100, 200, (100, 64), "b.png")
    cache, budget = WindowCache(), 100 * 320 * 3
    for y, which in ((0, path), (190, other), (70, path), (130, path)):
        cache.read(which, Window((0, y, 9, y + 9), None, budget))
    assert reader.asked == [(0, 0), (0, 64), (0, 128)]  # the first made room for the second, and nobody wants it now


def test_in_reading_order_rows_are_decoded_once(counted: Any) -> None:
    (path, reader), (other, _) = (counted(300, 640, (300, 64), name) for name in ("a.png", "b.png"))
    corners = [(side, x, y) for side in (100, 64) for x in range(0, 201, 100) for y in range(0, 501, 50)]
    records = [record(other, (0, 0, 9, 9)), *(record(path, (x, y, x + s, y + s)) for s, x, y in corners)]
    records.append(dataclasses.replace(records[0], window=None))
    order = reading_order(records)
    assert order[0] == 0 and order[-1] == len(corners) + 1 and sorted(order) == list(range(len(records)))
    cache = WindowCache()
    for i in order[1:-1]:
        cache.read(path, Window(records[i].window.area, None, 300 * 3 * 192))
    assert reader.asked == [(0, y) for _ in range(2) for y in range(0, 640, 64)][: len(reader.asked)]
    assert 18 <= len(reader.asked) <= 20


def test_a_reader_that_failed_is_opened_anew(counted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    path, reader = counted(100, 100, (50, 50))
    opened = []
    monkeypatch.setattr(window_cache, "open_image", lambda path: opened.append(path) or reader)
    monkeypatch.setattr(reader, "read", lambda *_: 1 / 0 if len(opened) > 2 else int("x"))
    cache, window = WindowCache(), Window((0, 0, 9, 9), None, 10**6)
    for _ in range(2):
        with pytest.raises(UnreadableImage, match="invalid literal"):
            cache.read(path, window)
    with pytest.raises(ZeroDivisionError):  # a mistake of the program is not the file's
        cache.read(path, window)


def test_an_image_beyond_the_budget_does_not_fill_it_with_what_nobody_asked_for(counted: Any) -> None:
    small, first = counted(64, 64, (64, 64), "small.png")
    path, reader = counted(100, 330, (100, 64))
    cache, budget = WindowCache(), 60_000
    cache.read(small, Window((0, 0, 64, 64), None, budget))
    cache.read(path, Window((0, 130, 50, 180), None, budget))
    assert reader.asked == [(0, 128)]
    cache.read(small, Window((0, 0, 9, 9), None, budget))
    assert len(first.asked) == 1
    # A block that does not fit is not kept, and of it no more is read than the window.
    cache.read(path, Window((3, 5, 50, 20), None, 10_000))
    assert reader.asked[1:] == [(3, 5)]


def test_what_was_used_last_stays(counted: Any) -> None:
    path, reader = counted(200, 40, (40, 40))  # five blocks of 4,800 bytes
    cache = WindowCache()
    for block in (0, 1, 2, 0, 3, 0, 1):  # room for three
        cache.read(path, Window((40 * block, 0, 40 * block + 40, 40), None, 3 * 4800))
    assert [x // 40 for x, _ in reader.asked] == [0, 1, 2, 3, 1]
    cache.read(path, Window((160, 0, 200, 40), None, 4800))  # the last to ask says how much may stay
    assert cache.bytes == 4800


def test_one_file_stays_open(tmp_path: Path) -> None:
    cache, open_files = WindowCache(), Path("/proc/self/fd")
    if not open_files.is_dir():
        pytest.skip("this system does not list the open files")
    before = len(list(open_files.iterdir()))
    for i in range(5):
        write(tmp_path / f"{i}.png", 9, 9)
        cache.read(tmp_path / f"{i}.png", Window((0, 0, 9, 9), None, 10**6))
        assert len(list(open_files.iterdir())) <= before + 1


def test_what_is_cached_needs_no_open_file(counted: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    paths = [counted(100, 100, (50, 50), f"{i}.png")[0] for i in range(3)]
    cache, window = WindowCache(), Window((0, 0, 100, 100), None, 10**6)
    for path in paths:
        cache.read(path, window)
    monkeypatch.setattr(window_cache, "open_image", None)
    for path in paths:
        cache.read(path, window)


def record(path: Path, area: tuple[int, int, int, int] | None, budget: int = 10**6) -> ImageRecord:
    window = area and Window(area, GREY, budget)
    return ImageRecord("x", path, Instances.empty("quad"), window=window)


def test_records_with_a_window_and_without(tmp_path: Path) -> None:
    pixels = write(tmp_path / "a.png", 70, 60)
    np.testing.assert_array_equal(read_record(record(tmp_path / "a.png", None)), pixels)
    area = (50, 50, 90, 90)
    np.testing.assert_array_equal(read_record(record(tmp_path / "a.png", area)), crop(pixels, area, GREY))


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("no.png", None, "No such file"),
        ("empty.png", b"", "is empty"),
        ("text.png", b"no image at all", "is no PNG, JPEG, TIFF or BMP"),
        ("text.webp", b"no image at all", "holds no image"),
    ],
)
def test_files_without_an_image(tmp_path: Path, name: str, content: bytes | None, reason: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    for _ in range(2):
        with pytest.raises(UnreadableImage, match=reason) as caught:
            read_record(record(path, (0, 0, 9, 9)))
        assert caught.value.path == path
    if content is not None:
        with pytest.raises(UnreadableImage, match=reason):
            open_image(path)


def test_an_image_that_ends_too_early(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    write(path, 200, 400)
    path.write_bytes(path.read_bytes()[:120_000])
    for area in ((0, 320, 200, 400), (0, 300, 100, 400)):
        with pytest.raises(UnreadableImage, match=r"a\.png"):
            read_record(record(path, area))


def test_an_image_that_is_damaged_in_the_middle(tmp_path: Path) -> None:
    """What lies above can be read, whatever was asked for before; what does not says so each time."""
    path = tmp_path / "a.png"
    pixels = write(path, 200, 400)
    content = bytearray(path.read_bytes())
    content[120_000:120_500] = bytes(500)
    path.write_bytes(content)
    top, bottom = (0, 0, 100, 64), (0, 320, 200, 400)
    for area in (bottom, top, bottom, bottom, top):
        if area is top:
            np.testing.assert_array_equal(read_record(record(path, area)), crop(pixels, area, GREY))
        else:
            with pytest.raises(UnreadableImage, match=r"a\.png"):
                read_record(record(path, area))


def test_a_file_that_changes_is_read_again(tmp_path: Path) -> None:
    path, area = tmp_path / "a.png", (0, 0, 20, 20)
    for seed in (0, 1):
        pixels = write(path, 40 + seed, 40, seed)
        os.utime(path, ns=(seed, seed))
        np.testing.assert_array_equal(read_record(record(path, area)), crop(pixels, area, GREY))
    write(path, 15, 30)
    with pytest.raises(UnreadableImage, match=r"has 15 x 30 pixels, none in the window \(15, 0, 20, 20\)"):
        read_record(record(path, (15, 0, 20, 20)))
    path.unlink()
    with pytest.raises(UnreadableImage):
        read_record(record(path, area))


def sums(path: Path, order: list[int], budget: int) -> list[int]:
    """Of windows of an image, one below the other."""
    found = [read_record(record(path, (0, 10 * i, 300, 10 * i + 10), budget)) for i in order]
    return [int(pixels.sum()) for pixels in found]


def test_threads_and_processes_read_the_same(tmp_path: Path) -> None:
    """A process that was forked has the open files of the other, and where they are read is one place for both."""
    path = tmp_path / "a.png"
    pixels = write(path, 300, 600)
    expected = [int(pixels[10 * i : 10 * i + 10].sum()) for i in range(60)]
    orders = [np.random.default_rng(seed).permutation(60).tolist() for seed in range(4)]
    for budget in (0, 100_000):
        with ThreadPoolExecutor(4) as threads:
            found = list(threads.map(sums, [path] * 4, orders, [budget] * 4))
        assert found == [[expected[i] for i in order] for order in orders]
    assert sums(path, [0, 1], 0) == expected[:2]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        rest = list(range(2, 60))
        waiting = pool.starmap_async(sums, [(path, rest, budget) for budget in (0, 0, 10**6, 10**6)])
        assert sums(path, rest, 0) == expected[2:]
        assert waiting.get(60) == [expected[2:]] * 4
