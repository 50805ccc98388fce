"""`rotx predict`: whole processes and the functions below, with a detector that finds what was drawn."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from PIL import Image

import bright  # registers the detector
from rotx.cli import main
from rotx.inference import Predictor, load
from rotx.inference import run as running
from scenes import CLASSES, missed_or_doubled, planted, scene, write_model, write_scene
from tiffs import write_tiff

LARGE = (330, 470)
WINDOWS = ["--window", "128", "--gap", "48", "--score-thr", "1e-4"]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return write_model(tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def predictor(model: list[str]) -> Predictor:
    return load(*model, device="cpu")


def predict(*words: object) -> Result:
    return CliRunner().invoke(main, ["predict", *map(str, words)])


def objects(out: Path) -> dict[str, dict[str, Any]]:
    """What predictions.json holds, by name."""
    return {image["name"]: image for image in json.loads((out / "predictions.json").read_text())}


def arrays(image: dict[str, Any]) -> tuple[Any, Any]:
    rows = image["objects"]
    return np.array([row["rbox"] for row in rows]).reshape(-1, 5), np.array([row["label"] for row in rows], int)


# One large image


def as_tiles(path: Path, image: Any) -> None:
    write_tiff(path, image[..., ::-1], 2, compression=8, tile=(64, 48))


WRITE: dict[str, Callable[[Path, Any], object]] = {
    "png": lambda path, image: cv2.imwrite(str(path), image),
    "tif": as_tiles,
    "bmp": lambda path, image: cv2.imwrite(str(path), image),
    "webp": lambda path, image: cv2.imwrite(str(path), image, [cv2.IMWRITE_WEBP_QUALITY, 101]),
    "ppm": lambda path, image: cv2.imwrite(str(path), image),
}


@pytest.mark.parametrize("kind", WRITE)
def test_windows_find_what_the_whole_image_holds(predictor: Predictor, tmp_path: Path, kind: str) -> None:
    truth = planted(LARGE)
    file = tmp_path / f"large.{kind}"
    WRITE[kind](file, scene(LARGE, *truth))
    found = predictor.predict_large(file, window=128, gap=48, batch_size=3, score_thr=1e-4)
    assert missed_or_doubled(found.rboxes, found.labels, truth) == 0
    assert found.name == "large" and (np.diff(found.scores) <= 0).all()
    # As one image they are the same, but for what is cut by the edges of windows.
    whole = predictor.predict(str(file))
    assert len(found) == len(whole) == len(truth[0])
    at_once = predictor.predict_large(file, window=470)
    assert np.array_equal(at_once.rboxes, whole.rboxes) and np.array_equal(at_once.scores, whole.scores)


@pytest.mark.parametrize(("size", "window", "gap"), [((40, 600), 100, 45), ((600, 40), 64, 40), ((129, 129), 128, 60)])
def test_narrow_images(predictor: Predictor, tmp_path: Path, size: tuple[int, int], window: int, gap: int) -> None:
    truth = write_scene(tmp_path / "narrow.png", size)
    found = predictor.predict_large(tmp_path / "narrow.png", window=window, gap=gap, score_thr=1e-4)
    assert missed_or_doubled(found.rboxes, found.labels, truth) == 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": 100, "gap": 100}, "gap: need 0 or more, and less than the window, got 100 for windows of 100"),
        ({"window": 0}, "gap: need 0 or more, and less than the window, got 0 for windows of 0"),
        ({"window": 3, "gap": 2}, "more than the 1000000 that an image may have"),
    ],
)
def test_windows_that_cannot_be(predictor: Predictor, tmp_path: Path, settings: dict[str, int], message: str) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((1100, 1100, 3), np.uint8))
    with pytest.raises(ValueError, match=message):
        predictor.predict_large(tmp_path / "a.png", **settings)


# Many images


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six images in two folders, one of them large; a hidden one and a text do not count."""
    folder = tmp_path_factory.mktemp("inputs")
    for i in range(4):
        write_scene(folder / f"some/a{i}.png", (120, 160), i)
    write_scene(folder / "other/b.jpg", (80, 120), 4)
    write_scene(folder / "other/large.png", LARGE, 5)
    write_scene(folder / ".hidden.png", (40, 40))
    (folder / "some/notes.txt").write_text("no image")
    return folder


def test_a_folder(model: list[str], folder: Path, tmp_path: Path) -> None:
    run = predict(*model, folder, "--out", tmp_path / "out", *WINDOWS)
    assert run.exit_code == 0, run.output
    found = objects(tmp_path / "out")
    assert list(found) == ["other/b", "other/large", "some/a0", "some/a1", "some/a2", "some/a3"]
    for i, name in enumerate(["some/a0", "some/a1", "some/a2", "some/a3"]):
        assert missed_or_doubled(*arrays(found[name]), planted((120, 160), i)) == 0
    assert missed_or_doubled(*arrays(found["other/large"]), planted(LARGE, 5)) == 0
    assert (found["other/large"]["width"], found["other/large"]["height"]) == (470, 330)
    labels = [label for image in found.values() for label in arrays(image)[1].tolist()]
    counts = [f"{name}: {labels.count(i):,}" for i, name in enumerate(CLASSES)]
    ending = f"{len(labels):,} objects in 6 images: {tmp_path / 'out/predictions.json'}"
    assert run.stdout.splitlines() == [*counts, ending]
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["predictions.json"]


def test_batches_do_not_matter_to_what_is_found(model: list[str], folder: Path, tmp_path: Path) -> None:
    for size in (1, 3):
        run = predict(*model, folder, "--out", tmp_path / str(size), *WINDOWS, "--batch-size", size)
        assert run.exit_code == 0, run.output
    assert (tmp_path / "1/predictions.json").read_bytes() == (tmp_path / "3/predictions.json").read_bytes()


def test_classes_scores_and_formats(model: list[str], folder: Path, tmp_path: Path) -> None:
    every = ["--format", "json,dota,coco,yolo"]
    run = predict(*model, folder, "--out", tmp_path, "--window", 128, "--score-thr", 0.02, "--classes", "red", *every)
    assert run.exit_code == 0, run.output
    rows = [row for image in objects(tmp_path).values() for row in image["objects"]]
    assert rows and {row["class"] for row in rows} == {"red"} and min(row["score"] for row in rows) > 0.02
    assert run.stdout.startswith(f"red: {len(rows)}\n")
    lines = (tmp_path / "Task1/Task1_red.txt").read_text().splitlines()
    annotations = json.loads((tmp_path / "coco.json").read_text())["annotations"]
    labels = [line for path in (tmp_path / "labels").rglob("*.txt") for line in path.read_text().splitlines()]
    assert len(lines) == len(annotations) == len(labels) == len(rows)


def test_views(model: list[str], folder: Path, tmp_path: Path) -> None:
    run = predict(*model, folder / "some", "--out", tmp_path, *WINDOWS, "--tta", "flip,rotate")
    assert run.exit_code == 0, run.output
    assert missed_or_doubled(*arrays(objects(tmp_path)["a1"]), planted((120, 160), 1)) == 0


def test_pictures(model: list[str], folder: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folder, tmp_path / "in"))
    words = [*model, folder, "--out", folder / "out", "--show-dir", folder / "out/drawn", *WINDOWS]
    assert predict(*words).exit_code == 0
    drawn = cv2.imread(str(folder / "out/drawn/some/a0.jpg"))
    assert drawn.shape == (120, 160, 3) and (drawn != cv2.imread(str(folder / "some/a0.png"))).any()
    # Drawn pictures are no inputs of the next run.
    assert predict(*words).exit_code == 0
    assert len(objects(folder / "out")) == 6
    run = predict(*model, folder / "other/b.jpg", "--out", tmp_path / "out", "--show-dir", folder / "other")
    assert run.exit_code == 2 and "other: pictures would overwrite inputs: give another --show-dir" in run.stderr


def test_pictures_of_what_only_opencv_reads(model: list[str], tmp_path: Path) -> None:
    """A format of its own, a suffix that lies, signed numbers, and a JPEG that is damaged in its midst."""
    image = scene(LARGE, *planted(LARGE))
    (tmp_path / "in").mkdir()
    Image.fromarray(image).save(tmp_path / "in/a.gif")
    (tmp_path / "in/b.png").write_bytes(cv2.imencode(".webp", image)[1].tobytes())
    write_tiff(tmp_path / "in/c.tif", image.astype(np.uint16), 2, tags={339: (3, [2, 2, 2])})
    content = bytearray(cv2.imencode(".jpg", image)[1].tobytes())
    content[9_000:9_010] = range(10)
    (tmp_path / "in/d.jpg").write_bytes(content)
    for window in ("512", "128"):
        out = tmp_path / window
        words = ["--out", out, "--show-dir", out / "drawn", "--window", window]
        run = predict(*model, *sorted((tmp_path / "in").iterdir()), *words)
        found = set(objects(out))
        assert run.exit_code == (0 if len(found) == 4 else 1), run.output
        assert {"a", "b", "c"} <= found == {path.stem for path in (out / "drawn").iterdir()}


def test_inputs_that_vanish_before_they_are_drawn(
    model: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was found in them is written, and they are named."""
    for i in range(4):
        write_scene(tmp_path / f"in/{i}.png", (120, 160), i)
    write_video(tmp_path / "in/road.avi", 2)
    write = running._write

    def vanish(*args: Any) -> None:
        (tmp_path / "in/1.png").unlink()
        (tmp_path / "in/2.png").write_bytes(b"junk")
        (tmp_path / "in/road.avi").unlink()
        write(*args)

    monkeypatch.setattr(running, "_write", vanish)
    run = predict(*model, tmp_path / "in", "--out", tmp_path / "out", "--show-dir", tmp_path / "drawn", *WINDOWS)
    assert run.exit_code == 1, run.output
    assert list(objects(tmp_path / "out")) == ["0", "1", "2", "3", "road_000000", "road_000001"]
    assert sorted(path.name for path in (tmp_path / "drawn").iterdir()) == ["0.jpg", "3.jpg"]
    reasons = [
        "1.png: cannot be drawn: No such",
        "2.png: cannot be drawn: holds no",
        "road.avi: cannot be drawn: does not exist",
    ]
    for line, reason in zip(run.stderr.splitlines()[-4:-1], reasons, strict=True):
        assert line.startswith(f"error: {tmp_path / 'in'}/{reason}")


def test_a_folder_for_pictures_that_cannot_be(model: list[str], folder: Path, tmp_path: Path) -> None:
    """It is said before the work."""
    (tmp_path / "file").touch()
    run = predict(*model, folder, "--out", tmp_path / "out", "--show-dir", tmp_path / "file/drawn", *WINDOWS)
    assert run.exit_code == 2 and run.stderr == f"error: {tmp_path / 'file/drawn'}: Not a directory\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_labels_of_the_inputs_are_safe(model: list[str], tmp_path: Path) -> None:
    write_scene(tmp_path / "images/a.png", (40, 40))
    run = predict(*model, tmp_path / "images", "--out", tmp_path, "--format", "json,yolo")
    assert run.exit_code == 2 and "contains inputs, and yolo could overwrite their labels" in run.stderr
    assert predict(*model, tmp_path / "images", "--out", tmp_path).exit_code == 0


def test_a_tiff_of_many_bands(model: list[str], tmp_path: Path) -> None:
    """OpenCV reads none: the first band is seen in windows, and as a whole."""
    bands = scene(LARGE, *planted(LARGE))[..., [0, 1, 2, 0, 1]]
    write_tiff(tmp_path / "many.tif", bands, 1)
    counts = []
    for window in (128, 512):
        run = predict(*model, tmp_path / "many.tif", "--out", tmp_path / "out", *WINDOWS, "--window", window)
        assert run.exit_code == 0, run.output
        counts.append(len(objects(tmp_path / "out")["many"]["objects"]))
    assert counts[0] == counts[1] > 0


def test_tiffs_that_nobody_reads(model: list[str], tmp_path: Path) -> None:
    """In a process of its own, as OpenCV reads when it is imported that it is to be quiet."""
    image = scene((40, 40), *planted((40, 40)))
    write_tiff(tmp_path / "a.tif", image, 2, tags={60_000: (3, [1])})
    write_tiff(tmp_path / "b.tif", image, 2, tags={259: (3, [50_000])})
    code = "import sys; from rotx.cli import main; import bright; main(sys.argv[1:])"
    words = ["predict", *model, tmp_path / "a.tif", tmp_path / "b.tif", "--out", tmp_path / "out", *WINDOWS]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE.parent), *sys.path])}
    run = subprocess.run([sys.executable, "-c", code, *map(str, words)], env=env, capture_output=True, text=True)
    assert run.returncode == 1 and "TIFF_" not in run.stderr and "WARN" not in run.stderr, run.stderr
    reason = "is a TIFF compressed by ZSTD (50000), which is not read: write it with LZW, Deflate or JPEG"
    if find_spec("rasterio"):  # which reads ZSTD, but this is none
        reason = "is damaged: GDAL cannot read its pixels"
    assert run.stderr.splitlines()[-2].startswith(f"error: {tmp_path / 'b.tif'}: {reason}")


# Videos


def write_video(path: Path, count: int, size: tuple[int, int] = (80, 120)) -> None:
    fourcc = cv2.VideoWriter.fourcc(*"MJPG")
    writer = cv2.VideoWriter(str(path), fourcc, 10, size[::-1])
    if not writer.isOpened():
        pytest.skip("this OpenCV cannot write an .avi")
    for i in range(count):
        writer.write(scene(size, *planted(size, i)))
    writer.release()


def test_a_video(model: list[str], tmp_path: Path) -> None:
    write_video(tmp_path / "road.avi", 7)
    show = ["--show-dir", tmp_path / "drawn"]
    run = predict(*model, tmp_path / "road.avi", "--out", tmp_path / "out", *WINDOWS, "--batch-size", 3, *show)
    assert run.exit_code == 0, run.output
    found = objects(tmp_path / "out")
    assert list(found) == [f"road_{i:06d}" for i in range(7)]
    assert found["road_000003"]["file"] == str(tmp_path / "road.avi")
    big = {name: [row for row in image["objects"] if row["score"] > 0.01] for name, image in found.items()}
    assert all(len(rows) >= 6 for rows in big.values())  # JPEG adds small bright spots
    film = cv2.VideoCapture(str(tmp_path / "drawn/road.mp4"))
    assert film.isOpened() and sum(film.grab() for _ in range(20)) == 7


def test_a_video_that_ends_early(model: list[str], tmp_path: Path) -> None:
    write_video(tmp_path / "road.avi", 30)
    content = (tmp_path / "road.avi").read_bytes()
    (tmp_path / "road.avi").write_bytes(content[: len(content) // 2])
    run = predict(*model, tmp_path / "road.avi", "--out", tmp_path / "out", *WINDOWS)
    assert run.exit_code == 1, run.output
    count = len(objects(tmp_path / "out"))
    assert 5 < count < 25
    assert f"error: {tmp_path / 'road.avi'}: ends early: {count} of 30 frames can be read\n" in run.stderr


def test_a_video_that_is_none(runs: Runs, dying: list[str], tmp_path: Path) -> None:
    (tmp_path / "noise.mp4").write_bytes(bytes(range(256)) * 20)
    code, errors = runs(*dying, tmp_path / "noise.mp4", "--out", tmp_path / "out")
    reason = f"error: {tmp_path / 'noise.mp4'}: is not a video that OpenCV can read"
    assert code == 1 and errors.splitlines()[-2] == reason and "moov" not in errors


# What goes wrong


def test_one_image_of_many_that_cannot_be_read(model: list[str], tmp_path: Path) -> None:
    image = scene((40, 40), *planted((40, 40)))
    (tmp_path / "in").mkdir()
    for i in range(1000):
        cv2.imwrite(str(tmp_path / f"in/{i:04d}.png"), image)
    content = (tmp_path / "in/0007.png").read_bytes()
    (tmp_path / "in/0500.png").write_bytes(content[:100])
    (tmp_path / "in/x0600.jpg").write_bytes(b"")
    os.mkfifo(tmp_path / "in/x0700.bmp")
    run = predict(*model, tmp_path / "in", "--out", tmp_path / "out", *WINDOWS)
    assert run.exit_code == 1, run.output
    first, second, third, last = run.stderr.splitlines()[-4:]
    assert first.startswith(f"error: {tmp_path / 'in/0500.png'}: ") and "Traceback" not in run.output
    assert second == f"error: {tmp_path / 'in/x0600.jpg'}: is empty"
    assert third == f"error: {tmp_path / 'in/x0700.bmp'}: is not a regular file"
    assert last == "error: 3 files could not be read completely"
    found = objects(tmp_path / "out")
    assert len(found) == 999 and "0500" not in found and all(image["objects"] for image in found.values())


def test_a_large_image_that_is_cut_off(model: list[str], folder: Path, tmp_path: Path) -> None:
    content = (folder / "other/large.png").read_bytes()
    (tmp_path / "cut.png").write_bytes(content[: len(content) * 2 // 3])
    words = [tmp_path / "cut.png", folder / "some"]
    run = predict(*model, *words, "--out", tmp_path / "out", *WINDOWS)
    assert run.exit_code == 1 and run.stderr.splitlines()[-2].startswith(f"error: {tmp_path / 'cut.png'}: ")
    assert list(objects(tmp_path / "out")) == ["a0", "a1", "a2", "a3"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["CONFIG", "none.pth", "IN"], "none.pth: no such file"),
        (["none.py", "CHECKPOINT", "IN"], "none.py: cannot be read: No such"),
        (["CONFIG", "CHECKPOINT", "none"], "none: no such file or folder"),
        (["CONFIG", "CHECKPOINT", "none/*.png"], "none/*.png: matches no image or video (.png"),
        (["CONFIG", "CHECKPOINT", "IN", "--out", "IN/a0.png"], "a0.png: is a file; need a folder"),
        (["CONFIG", "CHECKPOINT", "IN", "--format", "json,csv"], "format 'csv': need json, dota"),
        (
            ["CONFIG", "CHECKPOINT", "IN", "--classes", "rde"],
            "--classes: the detector has no class 'rde': did you mean 'red'?",
        ),
        (["CONFIG", "CHECKPOINT", "IN", "--tta", "turn"], "tta: need flip, rotate, scales"),
        (["CONFIG", "CHECKPOINT", "IN", "--tta", ""], "tta: need flip, rotate, scales"),
        (["CONFIG", "CHECKPOINT", "IN", "--gap", "2000"], "gap: need 0 or more, and less than the window, got 2000"),
        (["CONFIG", "CHECKPOINT", "IN", "--device", "cuda:99"], "CUDA devices, so there is no 'cuda:99'"),
        (["CHECKPOINT", "CHECKPOINT", "IN"], "model.pth: "),
        (["CONFIG", "CONFIG", "IN"], "model.py: "),
    ],
)
def test_bad_words(model: list[str], folder: Path, tmp_path: Path, words: list[str], message: str) -> None:
    known = {
        "CONFIG": model[0],
        "CHECKPOINT": model[1],
        "IN": str(folder / "some"),
        "IN/a0.png": str(folder / "some/a0.png"),
    }
    words = [known.get(word, word) for word in words]
    out = [] if "--out" in words else ["--out", str(tmp_path / "out")]
    run = predict(*words, *out)
    assert run.exit_code == 2, run.output
    assert message in run.stderr and run.stderr.count("\n") == 1, run.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there(model: list[str], folder: Path, tmp_path: Path) -> None:
    run = predict(*model, folder, "--out", tmp_path, "--device", "cuda")
    assert run.exit_code == 2 and run.stderr == "error: device: torch sees 0 CUDA devices, so there is no 'cuda'\n"


# Runs that end early


@pytest.fixture(scope="module")
def dying(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """A detector that can end its process."""
    import dying  # noqa: F401 - registers it

    return write_model(tmp_path_factory.mktemp("dying"), "DyingHead")


HERE = Path(__file__).parent


class Runs:
    """A process that runs the command as processes of their own."""

    def __init__(self, folder: Path) -> None:
        paths = os.pathsep.join([str(HERE), str(HERE.parent), *sys.path])
        env = {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1"}
        pipe = subprocess.PIPE
        self.process = subprocess.Popen([sys.executable, HERE / "runs.py"], env=env, stdin=pipe, stdout=pipe, text=True)
        self.stderr = folder / "stderr"

    def __call__(
        self, *words: object, batches: int = -1, how: str = "SIGKILL", limit: int | None = None
    ) -> tuple[int, str]:
        """Exit code and stderr of a run that ends after some batches; files have at most ``limit`` bytes."""
        run = {"words": [*map(str, words)], "batches": batches, "how": how, "limit": limit, "stderr": str(self.stderr)}
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write(json.dumps(run) + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline()), self.stderr.read_text()


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    runs = Runs(tmp_path_factory.mktemp("runs"))
    yield runs
    runs.process.communicate()


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


def test_a_run_that_is_killed_goes_on(runs: Runs, dying: list[str], folder: Path, tmp_path: Path) -> None:
    """In the midst of images, of windows, and of a video; by the system and by Ctrl-C. The bytes are the same."""
    write_video(tmp_path / "road.avi", 9)
    words = [*dying, folder, tmp_path / "road.avi", *WINDOWS, "--batch-size", 2, "--format", "json,yolo"]
    assert runs(*words, "--out", tmp_path / "whole")[0] == 0
    out = tmp_path / "out"
    for batches, how in ((0, "SIGKILL"), (4, "SIGKILL"), (5, "SIGINT"), (1, "SIGKILL"), (5, "SIGKILL")):
        code, errors = runs(*words, "--out", out, batches=batches, how=how)
        assert code == (130 if how == "SIGINT" else -9), errors
        left = {path.name for path in out.iterdir()}
        # Nothing runs in a process that is killed, so its lock file stays; the lock itself is gone.
        assert left == ({".progress"} if how == "SIGINT" else {".progress", ".progress.lock"})
        if how == "SIGINT":
            assert errors.endswith(f"{out}: stopped; run the same command again to resume\n")
    other = predict(*words, "--out", out, "--score-thr", 0.5)
    assert other.exit_code == 2 and other.stderr == (
        f"error: {out}: contains an interrupted run with another --score-thr: 0.0001 there, 0.5 here: repeat that "
        f"command, give another --out, or remove {out / '.progress'} to start again\n"
    )
    last = predict(*words, "--out", out)
    assert last.exit_code == 0 and "images were processed by an earlier run" in last.stdout
    assert contents(out) == contents(tmp_path / "whole")


def test_a_disk_that_is_full(runs: Runs, dying: list[str], folder: Path, tmp_path: Path) -> None:
    words = [*dying, folder, *WINDOWS]
    assert runs(*words, "--out", tmp_path / "whole")[0] == 0
    journal, largest = 0, (tmp_path / "whole/predictions.json").stat().st_size
    for limit, name in ((3_000, ".progress"), (largest - 1, "predictions.json")):
        code, errors = runs(*words, "--out", tmp_path / "out", limit=limit)
        assert code == 2 and errors.endswith(f"error: {tmp_path / 'out' / name}: File too large\n"), errors
        assert [path.name for path in (tmp_path / "out").iterdir()] == [".progress"]
        journal, before = (tmp_path / "out/.progress").stat().st_size, journal
        assert journal > before
    assert runs(*words, "--out", tmp_path / "out")[0] == 0
    assert contents(tmp_path / "out") == contents(tmp_path / "whole")


def test_a_film_on_a_disk_that_is_full(runs: Runs, dying: list[str], tmp_path: Path) -> None:
    write_video(tmp_path / "road.avi", 20)
    words = [*dying, tmp_path / "road.avi", "--out", tmp_path / "out", "--show-dir", tmp_path / "drawn"]
    words += ["--score-thr", 0.9]
    code, errors = runs(*words, limit=10_000)
    message = f"error: {tmp_path / 'drawn/road.mp4'}: cannot be written completely: is the disk full?\n"
    assert code == 2 and errors.endswith(message), errors
    assert list((tmp_path / "drawn").iterdir()) == [] and (tmp_path / "out/.progress").exists()
    assert runs(*words)[0] == 0
    film = cv2.VideoCapture(str(tmp_path / "drawn/road.mp4"))
    assert sum(film.grab() for _ in range(30)) == 20


def test_what_a_killed_run_left_of_pictures_goes(model: list[str], folder: Path, tmp_path: Path) -> None:
    left, other = tmp_path / "drawn/some/.a0.jpg.abcd1234.tmp", tmp_path / "drawn/some/.z.jpg.abcd1234.tmp"
    left.parent.mkdir(parents=True)
    left.touch()
    other.touch()
    assert predict(*model, folder, "--out", tmp_path, "--show-dir", tmp_path / "drawn", *WINDOWS).exit_code == 0
    assert not left.exists() and other.exists()


def test_too_little_memory(model: list[str], folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Torch's own words, of an array that no machine holds."""
    monkeypatch.setattr(bright.BrightHead, "decode", lambda *_: torch.empty(1 << 58))
    run = predict(*model, folder, "--out", tmp_path, "--device", "cpu")
    assert run.exit_code == 2 and run.stderr.endswith(
        "error: out of memory on cpu: try a smaller --batch-size or --window\n"
    )


def test_an_image_that_changes_is_looked_at_again(runs: Runs, dying: list[str], tmp_path: Path) -> None:
    for i in range(3):
        write_scene(tmp_path / f"in/{i}.png", (120, 160), i)
    words = [*dying, tmp_path / "in", "--out", tmp_path / "out", *WINDOWS, "--batch-size", 1]
    assert runs(*words, batches=2)[0] == -9
    write_scene(tmp_path / "in/0.png", (120, 200), 9)
    assert predict(*words).exit_code == 0
    assert missed_or_doubled(*arrays(objects(tmp_path / "out")["0"]), planted((120, 200), 9)) == 0
