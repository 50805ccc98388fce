"""What words mean: files, folders, patterns; and images that are read in pieces."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from rotx.inference.inputs import find_inputs
from rotx.tiling.windowed_image import WindowedImage, grid
from tiffs import write_tiff


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.png", "a.JPG", "sub/a.tif", "sub/deep/film.MP4", "sub/.hidden/x.png", ".x.png", "sub/notes.txt"):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path / "in"


def names(*words: object, leave_out: tuple[Path, ...] = ()) -> list[str]:
    return [one.name for one in find_inputs([str(word) for word in words], leave_out)[0]]


def test_folders(folder: Path) -> None:
    found, notices = find_inputs([str(folder)])
    assert [(one.name, one.is_video) for one in found] == [
        ("a", False),
        ("b", False),
        ("sub/a", False),
        ("sub/deep/film", True),
    ]
    assert notices == [] and found[2].path == folder / "sub/a.tif"


def test_results_are_no_inputs(folder: Path) -> None:
    results = (folder / "sub",)
    assert names(folder, leave_out=results) == names(folder / "**/*", leave_out=results) == ["a", "b"]
    assert names(folder / "sub/a.tif", leave_out=results) == ["a"]
    with pytest.raises(ValueError, match=r"sub: contains no image or video, besides those in .*/sub \("):
        find_inputs([str(folder / "sub")], results)


def test_files_and_patterns(folder: Path) -> None:
    (folder / "odd.jp2").touch()
    assert names(folder / "odd.jp2", folder / "b.png") == ["odd", "b"]  # in the order given, whatever the suffix
    assert names(folder / "*") == ["a", "b"]
    assert names(folder / "**/*.*") == ["a", "b", "sub/a", "sub/deep/film"]
    assert names(folder / "s?b/*.tif") == ["sub/a"]
    (folder / "img[1].png").touch()
    assert names(folder / "img[1].png") == ["img[1]"]  # a file of that name is no pattern


def test_a_pattern_below_the_working_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert names("*.png") == ["b"] and names("sub/*") == ["a"] and names(".") == names(folder)


def test_a_file_counts_once(folder: Path) -> None:
    (folder / "link.png").symlink_to(folder / "b.png")
    (folder / "sub/loop").symlink_to(folder)
    found, notices = find_inputs([str(folder), str(folder / "b.png"), str(folder / "*.png")])
    assert [one.name for one in found] == ["a", "b", "sub/a", "sub/deep/film"]
    assert notices == ["4 files are given more than once and processed once"]


def test_two_files_of_one_name(folder: Path) -> None:
    message = rf"{folder}/a.JPG and {folder}/sub/a.tif: both would be named 'a' in the results: rename one, or give"
    with pytest.raises(ValueError, match=message):
        find_inputs([str(folder / "*"), str(folder / "sub/*")])


def test_an_image_of_the_name_of_a_frame(folder: Path) -> None:
    for name in ("film_00001.png", "film_0000001.png", "other_000001.png"):
        (folder / "sub/deep" / name).touch()
    assert len(names(folder)) == 7
    for number in ("000000", "1234567"):
        image = folder / f"sub/deep/film_{number}.png"
        image.touch()
        message = f"{image} and {folder}/sub/deep/film.MP4: the image and a frame of the video would both be named"
        with pytest.raises(ValueError, match=message):
            find_inputs([str(folder)])
        image.unlink()


def test_names_stay_below_the_outputs(folder: Path) -> None:
    assert names(folder / "sub/*/../../*.png") == ["b"] and names(folder / "sub/../*.png") == ["b"]


def test_an_empty_word(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    with pytest.raises(ValueError, match="one of INPUTS is empty: give a file, a folder or a pattern"):
        find_inputs([""])


@pytest.mark.parametrize(
    ("word", "message"),
    [
        ("empty", r"empty: contains no image or video \(\.png "),
        ("none.png", r"none\.png: no such file or folder"),
        ("*.bmp", r"\*\.bmp: matches no image or video \(\.png "),
    ],
)
def test_words_that_mean_nothing(folder: Path, word: str, message: str) -> None:
    (folder / "empty").mkdir()
    with pytest.raises(ValueError, match=message):
        find_inputs([str(folder / word)])


def test_a_name_that_is_not_utf8(folder: Path) -> None:
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/\xff.png")).touch()
    except OSError:
        pytest.skip("this file system has no such names")
    with pytest.raises(ValueError, match="the file's name is not UTF-8; rename it"):
        find_inputs([str(folder)])


def test_a_grid() -> None:
    assert grid(100, 80, 100, 20).tolist() == [[0, 0, 100, 80]]
    assert grid(150, 50, 100, 20).tolist() == [[0, 0, 100, 50], [50, 0, 150, 50]]
    windows = grid(333, 222, 100, 30)
    assert (windows[:, 2:] - windows[:, :2] == 100).all()
    assert sorted(windows.tolist(), key=lambda w: (w[1], w[0])) == windows.tolist()
    seen = np.zeros((222, 333), bool)
    for x0, y0, x1, y1 in windows.tolist():
        seen[y0:y1, x0:x1] = True
    assert seen.all()


READ_ALL = """
import re, sys
from pathlib import Path
from rotx.tiling.windowed_image import WindowedImage, grid
def most(): return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
image = WindowedImage(Path(sys.argv[1]))
before = most()
total = sum(int(image.read(area)[::64, ::64].sum()) for area in grid(image.width, image.height, 512, 100))
print(most() - before, total, "torch" in sys.modules)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("kind", ["png", "tif"])
def test_a_huge_image_never_is_in_memory(tmp_path: Path, kind: str) -> None:
    """192 MB of pixels, of which rows of windows are kept: 512 rows are 12 MB, and some more as blocks overlap."""
    image = np.zeros((8000, 8000, 3), np.uint8)
    image[::64, ::64] = 7
    file = tmp_path / f"huge.{kind}"
    if kind == "png":
        cv2.imwrite(str(file), image, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    else:
        write_tiff(file, image, 2, compression=8, tile=(256, 256))
    run = subprocess.run([sys.executable, "-c", READ_ALL, file], capture_output=True, text=True, check=True)
    growth, total, torch = run.stdout.split()
    expected = sum(int(image[y0:y1, x0:x1][::64, ::64].sum()) for x0, y0, x1, y1 in grid(8000, 8000, 512, 100).tolist())
    assert int(total) == expected and torch == "False"
    assert int(growth) < 60_000


@pytest.mark.parametrize("kind", ["png", "tif", "jpg", "webp"])
def test_windows_hold_the_pixels_of_the_image(tmp_path: Path, kind: str) -> None:
    image = np.random.default_rng(0).integers(0, 256, (300, 500, 3), np.uint8)
    file = tmp_path / f"a.{kind}"
    cv2.imwrite(str(file), image)
    source, whole = WindowedImage(file), cv2.imread(str(file))
    assert (source.width, source.height) == (500, 300) and np.array_equal(source.whole(), whole)
    for x0, y0, x1, y1 in grid(500, 300, 128, 40).tolist():
        part = source.read(np.array([x0, y0, x1, y1])).astype(int)
        assert np.abs(part - whole[y0:y1, x0:x1]).max() <= (2 if kind == "jpg" else 0)
