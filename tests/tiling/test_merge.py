"""`rotx merge`: results on patches in, Task1 files of whole images out, and one clear line for what is wrong."""

from __future__ import annotations

import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from rotx import _rust, geometry
from rotx.annotations.formats import read_detections
from rotx.cli import main
from rotx.evaluation import write_task1
from rotx.records import InstanceTable
from rotx.tiling.merging import MERGE_IOU

BOX = "{0} {1} {2} {1} {2} {3} {0} {3}"


def box(x: float, y: float, w: float = 40, h: float = 20) -> str:
    return BOX.format(x, y, x + w, y + h)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["merge", *map(str, arguments)])


def merge(*arguments: object) -> Result:
    result = run(*arguments)
    assert result.exit_code == 0, result.output
    return result


def error(*arguments: object) -> str:
    """What the command says when it fails, in one line and with exit code 2."""
    result = run(*arguments)
    assert result.exit_code == 2, result.output
    lines = [line for line in result.stderr.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1 and lines[0].startswith("error: ") and result.stdout == ""
    return lines[0].removeprefix("error: ")


def write(folder: Path, **lines: list[str]) -> Path:
    """A set of Task1 files by class."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in lines.items():
        (folder / f"Task1_{name}.txt").write_text("".join(f"{row}\n" for row in rows))
    return folder


@pytest.fixture
def patched(tmp_path: Path) -> Path:
    """A plane seen from two patches, one seen from one, a ship in the same place, and a class without any."""
    return write(
        tmp_path / "patched",
        plane=[
            f"P1__1024__0___0 0.7 {box(900, 10)}",
            f"P1__1024__824___0 0.123456789012345678 {box(78, 11)}",
            f"P1__1024__824___0 0.9 {box(76, 10)}",
            f"P2__1024__0___0 0.8 {box(900, 10)}",
        ],
        ship=[f"P1__1024__824___0 0.6 {box(76.123456, 10.5)}"],
        tank=[],
    )


MERGED = {
    "Task1_plane.txt": f"P1 0.9 {box(900, 10)}\nP2 0.8 {box(900, 10)}\n",
    "Task1_ship.txt": f"P1 0.6 {box(900.123456, 10.5)}\n",
    "Task1_tank.txt": "",
}


def contents(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def unpacked(path: Path) -> dict[str, str]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in sorted(archive.namelist())}


# What it does


def test_a_folder(patched: Path, tmp_path: Path) -> None:
    result = merge(patched, tmp_path / "a/b")
    assert contents(tmp_path / "a/b") == MERGED
    assert result.stderr == (
        "note: 3 patches named as MMRotate does: <image>__<size>__<x>___<y>, in pixels of the image\n"
        "note: patches are merged by the rule nms, at an IoU of 0.1\n"
    )
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in result.stdout.splitlines() if "|" in line]
    assert rows[1:] == [["plane", "4", "2"], ["ship", "1", "1"], ["tank", "0", "0"], ["all", "5", "3"]]


def test_archives(patched: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        for path in patched.iterdir():
            archive.write(path, f"Task1/{path.name}")
    for source in (tmp_path / "in.zip", tmp_path / "in.zip/Task1"):
        merge(source, tmp_path / "new/out.zip")
        assert unpacked(tmp_path / "new/out.zip") == MERGED
        assert [path.name for path in (tmp_path / "new").iterdir()] == ["out.zip"]
    # The same bytes whenever it is made.
    before = (tmp_path / "new/out.zip").read_bytes()
    merge(patched, tmp_path / "OUT.ZIP")
    assert (tmp_path / "OUT.ZIP").read_bytes() == before


def test_conventions_are_told_apart_and_counted(tmp_path: Path) -> None:
    devkit = ["P1__0.5__100___200 0.9 10 20 30 20 30 40 10 40", "a__b__2.0__100___200 0.8 10 20 30 20 30 40 10 40"]
    result = merge(write(tmp_path / "r", plane=devkit), tmp_path / "a")
    assert (tmp_path / "a/Task1_plane.txt").read_text() == (
        "P1 0.9 220 440 260 440 260 480 220 480\na__b 0.8 55 110 65 110 65 120 55 120\n"
    )
    assert result.stderr.startswith("note: 2 patches named as the DOTA devkit does: ")
    result = merge(write(tmp_path / "r", ship=[f"P1__512__3___4 0.5 {box(0, 0)}"]), tmp_path / "b")
    assert "1 patches named as MMRotate does" in result.stderr and "2 patches named as the DOTA" in result.stderr


def test_threshold(tmp_path: Path) -> None:
    # Of 40 x 20, moved by 20: a third overlaps.
    lines = [f"P1__1024__0___0 0.9 {box(0, 0)}", f"P1__1024__0___0 0.8 {box(20, 0)}"]
    source = write(tmp_path / "r", plane=lines)
    for option, count in (((), 1), (("--iou-thr", 0.33), 1), (("--iou-thr", 0.34), 2), (("--iou-thr", 1), 2)):
        merge(source, tmp_path / "out", *option)
        assert len((tmp_path / "out/Task1_plane.txt").read_text().splitlines()) == count
    assert f"default: {MERGE_IOU:g}" in run("--help").output


def test_classes_that_were_not_found_get_files_too(patched: Path, tmp_path: Path) -> None:
    result = merge(patched, tmp_path / "out", "--classes", "tank, ship,plane,harbor")
    assert contents(tmp_path / "out") == {**MERGED, "Task1_harbor.txt": ""}
    assert "no result file for harbor" in result.stderr
    assert "unknown class 'tank'; the classes are plane, ship" in error(
        patched, tmp_path / "b", "--classes", "plane,ship"
    )
    assert "--classes: need different names" in error(patched, tmp_path / "b", "--classes", "plane,plane")


def test_rectangles(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    quads = rng.uniform(0, 1000, (20, 8))
    quads[0] = geometry.rbox_to_quad(np.array([[50.0, 60, 40, 10, 0.5]]))[0]
    lines = [f"P1__1024__0___0 {0.99 - i / 100} {' '.join(map(str, quad))}" for i, quad in enumerate(quads.tolist())]
    source = write(tmp_path / "r", plane=lines)
    merge(source, tmp_path / "out", "--boxes", "rbox", "--iou-thr", 1)
    written = read_detections(tmp_path / "out").quads
    boxes = geometry.quad_to_rbox(written)
    # Rectangles, and the least around each quad.
    np.testing.assert_allclose(geometry.area(written), boxes[:, 2] * boxes[:, 3], rtol=1e-7)
    np.testing.assert_allclose(geometry.box_iou_aligned(geometry.quad_to_rbox(quads), boxes), 1, atol=1e-6)
    np.testing.assert_allclose(geometry.box_iou(written[:1], quads[:1]), 1, atol=1e-6)
    # The rectangles are what overlaps: two triangles that do not meet stand in one square.
    lines = ["P1__1024__0___0 0.9 0 0 50 0 25 50 25 50", "P1__1024__0___0 0.8 0 1 24 50 0 50 0 50"]
    merge(write(tmp_path / "t", plane=lines), tmp_path / "q")
    merge(tmp_path / "t", tmp_path / "r2", "--boxes", "rbox")
    counts = [len((tmp_path / name / "Task1_plane.txt").read_text().splitlines()) for name in ("q", "r2")]
    assert counts == [2, 1]


def test_equal_scores_keep_the_order_of_the_file(tmp_path: Path) -> None:
    names = [f"P{i}__1024__0___0" for i in (3, 1, 2)]
    lines = [f"{name} {score} {box(x, 0)}" for x in (0, 100, 200) for name in names for score in ("0.5", "0.25", "0.5")]
    # A box twice, with one score: the first is kept.
    merge(write(tmp_path / "r", plane=lines), tmp_path / "out")
    rows = [line.split()[:3] for line in (tmp_path / "out/Task1_plane.txt").read_text().splitlines()]
    assert rows == [[name, "0.5", str(x)] for x in (0, 100, 200) for name in ("P3", "P1", "P2")]


@pytest.mark.parametrize("seed", range(5))
def test_numbers_come_out_as_they_were_read(tmp_path: Path, seed: int) -> None:
    """Each score is the number in the file, and writing what was read again changes nothing."""
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.random(40), 10 ** rng.uniform(-30, 0, 40), rng.random(20).astype(np.float32), [0, 1]])
    quads = rng.uniform(-2000, 2000, (len(scores), 1)) + rng.uniform(0, 30, (len(scores), 8))
    # One image for each, so that none is dropped; all digits are written.
    lines = [
        f"P{i}__1024__{i * 37}___0 {score!r} {' '.join(map(str, quad))}"
        for i, (score, quad) in enumerate(zip(scores.tolist(), quads.tolist(), strict=True))
    ]
    merge(write(tmp_path / "r", plane=lines), tmp_path / "out")
    order = np.argsort(-scores, kind="stable")
    read = read_detections(tmp_path / "out")
    assert read.scores.tolist() == scores[order].tolist()
    assert read.images == [f"P{i}" for i in order]
    quads[:, 0::2] += 37 * np.arange(len(scores))[:, None]
    np.testing.assert_allclose(read.quads, quads[order], rtol=0, atol=5.1e-7)
    write_task1(read, tmp_path / "again")
    assert contents(tmp_path / "again") == contents(tmp_path / "out")


def test_the_result_is_scored_and_sent_as_it_is(patched: Path, tmp_path: Path) -> None:
    """What reads Task1 files reads these; the patches' own names are refused there."""
    merge(patched, tmp_path / "out.zip")
    check = CliRunner().invoke(main, ["check-submission", str(tmp_path / "out.zip")])
    assert "on patches such as" not in check.output and "plane" in check.output
    assert error(tmp_path / "out.zip", tmp_path / "b").startswith("not made of patches: image 'P1'")


# What is wrong


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("P1 0.5 1 2 3 4 5 6 7 8", "not made of patches: image 'P1'; need names of patches such as"),
        ("P1__32__0___0 0.5 1 2 3 4 5 6 7 8", "32 is neither a rate (up to 4) nor a size (from 64 pixels)"),
        ("P1__0__0___0 0.5 1 2 3 4 5 6 7 8", "0 is neither a rate"),
        ("P 1__64__0___0 0.5 1 2 3 4 5 6 7 8", "Task1_plane.txt:1: 11 columns, need 10: image score x1"),
        ("P1__64__0___0 0.5 1 2 3 4", "Task1_plane.txt:1: 6 columns, need 10"),
        (
            "P1__64__9999999999___7 0.5 1 2 3 4 5 6 7 8",
            "patch 'P1__64__9999999999___7': lies beyond 1,000,000,000 pixels, outside any image",
        ),
        (f"P1__2__0___-{'9' * 400} 0.5 1 2 3 4 5 6 7 8", "lies beyond 1,000,000,000 pixels"),
        ("P1__0.0001__100001___0 0.5 1 2 3 4 5 6 7 8", "lies beyond 1,000,000,000 pixels"),
        ("P1__64__0___0 nan 1 2 3 4 5 6 7 8", "Task1_plane.txt:1: score 'nan' is not finite"),
    ],
)
def test_lines_that_cannot_be_merged(tmp_path: Path, line: str, message: str) -> None:
    assert message in error(write(tmp_path / "r", plane=[line]), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_no_results(tmp_path: Path) -> None:
    assert error(tmp_path / "r", tmp_path / "out").endswith("r: no such file or folder")
    (tmp_path / "r").mkdir()
    assert "no .txt or .xml file" in error(tmp_path / "r", tmp_path / "out")
    merge(write(tmp_path / "r", plane=[]), tmp_path / "out")
    assert contents(tmp_path / "out") == {"Task1_plane.txt": ""}


def test_results_are_not_written_over(patched: Path, tmp_path: Path) -> None:
    before = contents(patched)
    (tmp_path / "link").symlink_to(patched)
    for out in (patched, tmp_path / "link", patched.parent / "x/../patched"):
        (tmp_path / "x").mkdir(exist_ok=True)
        assert "the results are read from here" in error(patched, out)
    (tmp_path / "set").mkdir()
    patched.rename(tmp_path / "set/Task1")
    assert "the results are read from here" in error(tmp_path / "set", tmp_path / "set/Task1")
    with zipfile.ZipFile(tmp_path / "in.zip", "w") as archive:
        archive.writestr("Task1/Task1_plane.txt", f"P1__64__0___0 0.5 {box(0, 0)}\n")
    assert "the results are read from here" in error(tmp_path / "in.zip/Task1", tmp_path / "in.zip")
    assert contents(tmp_path / "set/Task1") == before
    # Beside them, or in another folder of theirs, is fine.
    merge(tmp_path / "set", tmp_path / "set/merged")
    assert contents(tmp_path / "set/merged") == MERGED


def test_files_of_other_classes_would_be_scored_along(patched: Path, tmp_path: Path) -> None:
    out = write(tmp_path / "out", plane=["old"], truck=["old"], van=["old"])
    assert f"{out}: holds Task1_truck.txt and 1 more, of other classes: remove them, or name another folder" in error(
        patched, out
    )
    assert contents(out) == {f"Task1_{name}.txt": "old\n" for name in ("plane", "truck", "van")}
    for name in ("truck", "van"):
        (out / f"Task1_{name}.txt").unlink()
    (out / "notes.txt").write_text("mine")
    merge(patched, out)
    assert contents(out) == {**MERGED, "notes.txt": "mine"}


def test_a_place_of_the_wrong_kind(patched: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "folder.zip").mkdir()
    assert "file: is not a folder; name a folder, or a .zip archive" in error(patched, tmp_path / "file")
    assert "folder.zip: is a folder; name a folder, or a .zip archive" in error(patched, tmp_path / "folder.zip")
    assert "file" in error(patched, tmp_path / "file/out")
    assert (tmp_path / "file").read_text() == "mine"


def test_a_disk_that_is_full(patched: Path, tmp_path: Path) -> None:
    """A limit on the size of files stands for it: what was there is kept, and nothing half written is left."""
    lines = [f"P{i}__1024__0___0 0.5 {box(i, 7)}" for i in range(3000)]
    source, out = write(tmp_path / "r", plane=lines), write(tmp_path / "out", plane=["old"])
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))\n"
        "from rotx.cli import main; main()"
    )
    for target in (out, tmp_path / "out.zip"):
        done = subprocess.run([sys.executable, "-c", code, "merge", source, target], capture_output=True, text=True)
        assert done.returncode == 2 and done.stdout == ""
        last = done.stderr.splitlines()[-1]
        assert last.startswith(f"error: {target}") and "File too large" in last and "Traceback" not in done.stderr
    assert contents(out) == {"Task1_plane.txt": "old\n"}
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out"]


# Killed


@pytest.mark.parametrize("target", ["out", "out.zip"])
def test_killed_and_run_again(tmp_path: Path, target: str) -> None:
    """Whenever it is killed, the second run leaves the bytes of one that was not, and nothing else."""
    rng = np.random.default_rng(0)
    lines: dict[str, list[str]] = {}
    for c in range(6):
        xy = rng.uniform(0, 4000, (20_000, 2)).round(2).tolist()
        lines[f"c{c}"] = [f"P{i % 9}__1024__0___0 {i / 20_000} {box(x, y)}" for i, (x, y) in enumerate(xy)]
    source = write(tmp_path / "r", **lines)
    want, out = tmp_path / f"want/{target}", tmp_path / f"work/{target}"
    merge(source, want)
    command = [sys.executable, "-c", "from rotx.cli import main; main()", "merge", str(source), str(out)]
    for more in (4, 2, 1, 1):
        killed(command, out.parent, more)
    merge(source, out)
    assert everything(out.parent) == everything(want.parent)
    # As a kill at the worst moment leaves it, whether one of those above met it or not.
    folder, name = (out, "Task1_c3.txt") if target == "out" else (out.parent, target)
    (folder / f".{name}.a_b1c2d3.tmp").write_text("half")
    (folder / f".{name}.mine.tmp").write_text("of somebody else")
    merge(source, out)
    (folder / f".{name}.mine.tmp").unlink()
    assert everything(out.parent) == everything(want.parent)


def killed(command: list[str], folder: Path, more: int) -> None:
    """Kills a process when there are that many more files in a folder, if it comes to that."""
    before = len(everything(folder))
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while child.poll() is None and len(list(folder.rglob("*"))) < before + more:
        time.sleep(0.0005)
    child.kill()
    child.wait()


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(p.relative_to(folder)): p.read_bytes() if p.is_file() else None for p in folder.rglob("*")}


# Writing


def test_wrong_arrays_are_refused() -> None:
    quads, scores, image = np.zeros((2, 8)), np.zeros(2), np.zeros(2, np.int32)
    with pytest.raises(ValueError, match="indices into 1 names"):
        _rust.write_task1(["a"], quads, scores, image + 1, image, 0)
    with pytest.raises(ValueError, match="each of 2 quads"):
        _rust.write_task1(["a"], quads, scores[:1], image, image, 0)
    assert _rust.write_task1([], quads[:0], scores[:0], image[:0], image[:0], 0) == b""


def test_names_of_images_and_classes_that_files_cannot_hold(tmp_path: Path) -> None:
    none = np.zeros(0, np.int32)
    for images, classes, message in (
        ([" "], ["a"], "the name is empty or contains spaces"),
        (["P1"], ["a/b"], "cannot be a file name"),
        (["P1"], ["a\0b"], "cannot be a file name"),
        (["P1"], [".."], "cannot be a file name"),
        (["P1"], ["x" * 300], "cannot be a file name"),
    ):
        with pytest.raises(ValueError, match=message):
            write_task1(
                InstanceTable(images, classes, np.zeros((0, 8)), "quad", none, none, np.zeros(0)), tmp_path / "out"
            )
    assert not (tmp_path / "out").exists()
