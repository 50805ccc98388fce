"""Runs of `rotx split` that do not go well: killed, stopped, out of space, with images that cannot be read."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path
from typing import Any

import pytest
from test_split import contents, write_images

from rotx.tiling.split import split
from rotx.tiling.windows import Tiling

TILING = Tiling(sizes=(128,), gaps=(64,))
OPTIONS = ["--size", "128", "--gap", "64", "--jobs", "2"]
IMAGES = {f"P{i}": (900 + 10 * i, 700) for i in range(6)}
LABEL = "10 10 90 10 90 50.25 10 50.25 ship 0\n300 300 420 300 420 380 300 380 plane 1\n"
MAIN = "from rotx.cli import main; main()"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images and annotations in DOTA's layout."""
    folder = tmp_path_factory.mktemp("source")
    write_images(folder / "images", IMAGES)
    (folder / "labelTxt").mkdir()
    for name in IMAGES:
        (folder / f"labelTxt/{name}.txt").write_text(LABEL)
    return folder


@pytest.fixture(scope="module")
def whole(source: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What a run writes that nothing happens to."""
    out = tmp_path_factory.mktemp("whole") / "out"
    report = split([(source / "images", source / "labelTxt")], out, TILING)
    assert not report.failed and report.totals["patches"] > 500
    return contents(out)


def start(source: Path, out: Path, options: list[str] = OPTIONS, **settings: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", MAIN, "split", str(source), str(out), *options]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **settings)


def wait_for(process: subprocess.Popen[str], folder: Path, files: int) -> None:
    """Waits until a folder has so many files, or the process is over."""
    while process.poll() is None and (sum(1 for _ in folder.iterdir()) if folder.is_dir() else 0) < files:
        time.sleep(0.001)


def test_a_run_that_is_killed_again_and_again_ends_as_one_that_was_not(
    source: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    killed, counts = 0, (0, 1, 60, 61, 150, 240, 400, 500)
    for count in counts:
        run = start(source, tmp_path / "out")
        wait_for(run, tmp_path / "out/images", count)
        run.kill()
        run.communicate()
        killed += run.returncode == -signal.SIGKILL
    assert killed > len(counts) // 2
    run = start(source, tmp_path / "out")
    said, errors = run.communicate()
    assert run.returncode == 0, errors
    assert "images were split by an earlier run" in said or "already complete" in said
    assert contents(tmp_path / "out") == whole


def test_ctrl_c_ends_it_with_one_line_and_the_next_run_goes_on(
    source: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    run = start(source, tmp_path / "out")
    wait_for(run, tmp_path / "out/images", 100)
    run.send_signal(signal.SIGINT)
    _, errors = run.communicate(timeout=30)
    if run.returncode != 0:  # else it was faster than the signal
        assert run.returncode == 130
        assert "Traceback" not in errors
        assert errors.splitlines()[-1].endswith("out: stopped; run the same command again to resume")
    split([(source / "images", source / "labelTxt")], tmp_path / "out", TILING)
    assert contents(tmp_path / "out") == whole


def test_a_second_run_at_the_same_time_is_refused(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    out, folders = tmp_path / "out", [(source / "images", source / "labelTxt")]
    first = start(source, out)
    wait_for(first, out / "images", 50)
    first.send_signal(signal.SIGSTOP)
    with pytest.raises(ValueError, match="out: another run is writing it; wait until it has ended"):
        split(folders, out, TILING)
    first.send_signal(signal.SIGCONT)
    _, errors = first.communicate()
    assert first.returncode == 0, errors
    assert contents(out) == whole
    split(folders, out, TILING)


def test_a_disk_that_is_full_is_one_error_and_leaves_no_half_file(
    source: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    sizes = sorted(len(content) for name, content in whole.items() if name.endswith(".png"))
    limit = sizes[len(sizes) // 2]

    def allow_little() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    run = start(source, tmp_path / "out", preexec_fn=allow_little)
    _, errors = run.communicate()
    assert run.returncode == 2
    assert errors.splitlines()[-1].startswith("error: ") and errors.endswith(".png: File too large\n"), errors
    left = contents(tmp_path / "out")
    assert not [name for name in left if name.endswith(".tmp")]
    assert all(whole[name] == content for name, content in left.items() if name != "journal.jsonl")
    split([(source / "images", source / "labelTxt")], tmp_path / "out", TILING)
    assert contents(tmp_path / "out") == whole


def test_a_folder_that_cannot_be_written_is_one_error(source: Path, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    (tmp_path / "out").mkdir(mode=0o500)
    run = start(source, tmp_path / "out")
    _, errors = run.communicate()
    assert run.returncode == 2
    assert errors == f"error: {tmp_path / 'out/journal.jsonl'}: Permission denied\n"


def test_a_journal_that_is_none_is_one_error(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    split([(source / "images", None)], out, TILING)
    (out / "manifest.json").unlink()
    (out / "journal.jsonl").write_text("not json\n")
    with pytest.raises(ValueError, match="is not the journal of a split"):
        split([(source / "images", None)], out, TILING)


def lying_header(width: int, height: int) -> bytes:
    """A PNG of a few bytes that claims to be large."""
    return png(width, height, 0, [(b"IDAT", zlib.compress(b"\0" * 99))])


def png(width: int, height: int, interlaced: int, chunks: list[tuple[bytes, bytes]]) -> bytes:
    """A PNG of 8-bit RGB with these chunks."""
    chunks = [(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, interlaced)), *chunks]
    body = b"".join(struct.pack(">I", len(c)) + t + c + struct.pack(">I", zlib.crc32(t + c)) for t, c in chunks)
    return b"\x89PNG\r\n\x1a\n" + body


def test_images_that_cannot_be_read_are_named_and_tried_again(
    source: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    shutil.copytree(source / "images", images)
    good = (images / "P1.png").read_bytes()
    (images / "P1.png").write_bytes(good[: len(good) * 2 // 3])
    (images / "P2.png").write_bytes(b"")
    (images / "P3.png").write_bytes(b"<html>404</html>")
    (images / "P4.png").write_bytes(lying_header(30_000, 5_000))
    os.mkfifo(images / "pipe.png")
    folders = [(images, source / "labelTxt")]
    report = split(folders, out, TILING)
    assert set(report.failed) == {"P1.png", "P2.png", "P3.png", "P4.png", "pipe.png"}
    assert "cut off" in report.failed["P1.png"] and "empty" in report.failed["P2.png"]
    assert report.totals["images"] == 2
    patches = {name: content for name, content in contents(out).items() if name != "manifest.json"}
    assert {name.split("/")[1][:2] for name in patches} == {"P0", "P5"}
    assert all(whole[name] == content for name, content in patches.items())
    before = contents(out)
    assert split(folders, out, TILING).failed == report.failed
    assert contents(out) == before
    for file in images.iterdir():
        file.unlink()
        if file.name != "pipe.png":
            shutil.copy(source / "images" / file.name, file)
    again = split(folders, out, TILING)
    assert again.earlier == 2 and not again.failed
    assert contents(out) == whole


def test_images_that_need_more_memory_than_there_is_are_named(source: Path, tmp_path: Path) -> None:
    """Their files are as large as the claim demands: only asking for the memory shows that there is none."""
    shutil.copytree(source, tmp_path / "source")
    images, out = tmp_path / "source/images", tmp_path / "out"
    rest = [(b"IDAT", zlib.compress(b"\0" * 99)), (b"juNk", bytes(5 << 20)), (b"IEND", b"")]
    turned = (b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0")
    (images / "interlaced.png").write_bytes(png(40_000, 40_000, 1, rest))
    (images / "turned.png").write_bytes(png(40_000, 40_000, 0, [turned, *rest]))
    (images / "wide.png").write_bytes(png(4_000_000, 400, 0, rest))
    (images / "tall.png").write_bytes(png(1, 1 << 31 - 1, 0, rest))
    words = ["--size", "400", "--gap", "0", "--max-pixels", "1600000000"]
    run = start(tmp_path / "source", out, words, preexec_fn=few_gigabytes)
    _, errors = run.communicate()
    assert run.returncode == 1, errors
    for name in ("interlaced", "turned", "wide"):
        assert f"error: {name}.png: needs 4,800,000,000 bytes of memory, more than there are" in errors
    assert "error: tall.png: 1 x 1073741824 pixels make 2684355 windows, more than the 1000000" in errors
    assert {file.name[:2] for file in (out / "images").iterdir()} == set(IMAGES)


def few_gigabytes() -> None:
    """A system may promise more memory than it has; then a process fails later, or is killed."""
    resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))


def test_an_image_that_fails_late_leaves_nothing(source: Path, tmp_path: Path) -> None:
    images = tmp_path / "images"
    images.mkdir()
    good = (source / "images/P1.png").read_bytes()
    for i in range(4):
        (images / f"bad{i}.png").write_bytes(good[: len(good) * (i + 6) // 10])
    report = split([(images, None)], tmp_path / "out", Tiling((64,), (0,)), jobs=3)
    assert len(report.failed) == 4 and report.totals == {"images": 0, "patches": 0}
    assert set(contents(tmp_path / "out")) == {"manifest.json"}


def test_a_complete_folder_is_left_alone(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    out, folders = tmp_path / "out", [(source / "images", source / "labelTxt")]
    split(folders, out, TILING)
    times = {file: file.stat().st_mtime_ns for file in out.rglob("*")}
    report = split(folders, out, TILING)
    assert report.earlier == len(IMAGES) and report.totals["patches"] > 500
    assert {file: file.stat().st_mtime_ns for file in out.rglob("*")} == times
    assert contents(out) == whole


def test_patches_that_were_removed_are_made_again(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    out, folders = tmp_path / "out", [(source / "images", source / "labelTxt")]
    split(folders, out, TILING)
    next((out / "images").glob("P2__*")).unlink()
    next((out / "annfiles").glob("P3__*")).unlink()
    assert split(folders, out, TILING).earlier == len(IMAGES) - 2
    assert contents(out) == whole
    shutil.rmtree(out / "images")
    assert split(folders, out, TILING).earlier == 0
    assert contents(out) == whole


def test_a_run_that_is_killed_when_images_were_added(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    """At the very end: the journal has all of the new images, and the manifest none of them."""
    images, out = tmp_path / "images", tmp_path / "out"
    shutil.copytree(source / "images", images)
    (images / "P5.png").rename(tmp_path / "P5.png")
    split([(images, source / "labelTxt")], out, TILING)
    before = (out / "manifest.json").read_bytes()
    (tmp_path / "P5.png").rename(images / "P5.png")
    split([(images, source / "labelTxt")], out, TILING)
    after = json.loads((out / "manifest.json").read_bytes())
    lines = [{"settings": after["settings"]}, *after["images"]]
    (out / "journal.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (out / "manifest.json").write_bytes(before)
    assert split([(images, source / "labelTxt")], out, TILING).totals["images"] == len(IMAGES)
    assert contents(out) == whole


def test_a_name_too_long_for_patches_fails_alone(source: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    shutil.copytree(source / "images", images)
    name = "n" * 240
    shutil.copy(images / "P1.png", images / f"{name}.png")
    failed = split([(images, source / "labelTxt")], out, TILING).failed
    assert list(failed) == [f"{name}.png"]
    assert failed[f"{name}.png"].startswith(f"its name is too long: a patch would be called {name}__128__")
    assert {file: content for file, content in contents(out).items() if file != "manifest.json"} == {
        file: content for file, content in whole.items() if file != "manifest.json"
    }


def test_a_folder_of_something_else_is_refused(source: Path, tmp_path: Path) -> None:
    images, out = tmp_path / "images", tmp_path / "out"
    shutil.copytree(source / "images", images)
    folders = [(images, source / "labelTxt")]

    def refused(said: str, tiling: Tiling = TILING, out: Path = out, **settings: Any) -> None:
        with pytest.raises(ValueError, match=said):
            split(folders, out, tiling, **settings)

    refused("images: holds other files, such as P0.png: name another folder", out=images)
    refused("P0.png: is a file; need a folder", out=images / "P0.png")
    split(folders, out, TILING)
    refused(r"was split with sizes \[128\], not \[256\]", Tiling((256,), (64,)))
    refused("was split with save_ext .png, not .jpg", ext=".jpg")
    (images / "P2.png").write_bytes((images / "P3.png").read_bytes())
    refused("P2.png or its labels have changed since it was split")
    (images / "P2.png").unlink()
    refused("holds patches of P2.png, which is not among the images")
    (out / "manifest.json").write_text("{}")
    refused("manifest.json: is not the manifest of a split")
