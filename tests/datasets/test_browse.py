"""`rotx browse`: objects are drawn where they are, and training is shown as it sees them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from click.testing import CliRunner

from rotx.cli.browse import browse
from rotx.config import dumps
from rotx.datasets.browse import LONGEST
from rotx.images.draw import draw_quads

LOAD = [{"type": "LoadImageFromFile"}, {"type": "LoadAnnotations", "with_bbox": True, "box_type": "qbox"}]
SHIP = "20 20 80 20 80 60 20 60 ship 0\n"


def make(root: Path, count: int = 4, text: str = SHIP, width: int = 120, height: int = 100) -> Path:
    """Grey images with these labels each."""
    for folder in ("images", "labelTxt"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i in range(count):
        (root / "labelTxt" / f"P{i}.txt").write_text(text)
        cv2.imwrite(str(root / "images" / f"P{i}.png"), np.full((height, width, 3), 100, np.uint8))
    return root


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(browse, [str(argument) for argument in arguments])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.output
    return result.exit_code, result.output


def red(picture: np.ndarray) -> np.ndarray:
    """(H, W) bool: the colour of the first class, as far as a JPEG keeps that of a thin line."""
    blue, green, red = np.moveaxis(picture.astype(int), 2, 0)
    return red - np.maximum(blue, green) > 50


def written(file: Path) -> np.ndarray:
    picture = cv2.imread(str(file))
    assert picture is not None
    return picture


def test_objects_are_drawn_where_they_are(tmp_path: Path) -> None:
    code, out = run(make(tmp_path / "set"), "--out", tmp_path / "out")
    assert code == 0 and "4 pictures" in out
    assert sorted(file.name for file in (tmp_path / "out").iterdir()) == [f"P{i}.jpg" for i in range(4)]
    picture = written(tmp_path / "out/P0.jpg")
    image = picture[len(picture) - 100 :]
    assert image.shape == (100, 120, 3)
    lines = red(image)
    rows, columns = np.flatnonzero(lines[:, 45:78].sum(axis=1) > 30), np.flatnonzero(lines[25:55].sum(axis=0) > 20)
    assert set(rows) <= {19, 20, 21, 59, 60, 61} and {20, 60} <= set(rows)
    assert set(columns) <= {19, 20, 21, 79, 80, 81} and {20, 80} <= set(columns)


def test_difficult_objects_are_dashed(tmp_path: Path) -> None:
    filled = {}
    for difficult in (0, 1, 2):
        make(tmp_path, 1, SHIP.replace(" 0\n", f" {difficult}\n"))
        assert run(tmp_path, "--out", tmp_path / "out")[0] == 0
        image = written(tmp_path / "out/P0.jpg")[-100:]
        filled[difficult] = int(red(image)[59:62, 22:79].any(axis=0).sum())
    assert filled[0] > 50 and 10 < filled[1] < 45 and filled[1] == filled[2]


def test_dashes_of_what_is_far_outside() -> None:
    picture = np.zeros((50, 50, 3), np.uint8)
    quads = np.array([[-1e9, -5, 1e9, -5, 1e9, 25, -1e9, 25], [10, 10, 10, 10, 10, 10, 10, 10]])
    draw_quads(picture, quads, np.zeros(2, np.int64), dashed=np.ones(2, np.bool_))


def test_which_images_are_chosen(tmp_path: Path) -> None:
    make(tmp_path / "set", 30)

    def names(*arguments: object) -> list[str]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        assert run(tmp_path / "set", "--out", out, *arguments)[0] == 0
        return sorted(file.stem for file in out.iterdir())

    assert names("--number", 3) == ["P0", "P21", "P9"], "evenly by name: the first, the middle one, the last"
    assert len(names()) == 20
    assert len(names("--number", 99)) == 30
    assert names("--number", 5, "--seed", 1) == names("--number", 5, "--seed", 1)
    assert names("--number", 5, "--seed", 1) != names("--number", 5, "--seed", 2)


def test_large_images_are_made_smaller(tmp_path: Path) -> None:
    width, height = 2 * LONGEST, 700
    make(tmp_path, 1, "200 100 2200 100 2200 500 200 500 ship 0\n", width, height)
    assert run(tmp_path, "--out", tmp_path / "out")[0] == 0
    picture = written(tmp_path / "out/P0.jpg")
    image = picture[len(picture) - 350 :]
    assert image.shape == (350, LONGEST, 3)
    lines = red(image)
    assert lines[48:53, 150:1000].any(axis=0).mean() > 0.9 and lines[248:253, 150:1000].any(axis=0).mean() > 0.9


def test_an_image_that_cannot_be_read_stops_nothing(tmp_path: Path) -> None:
    make(tmp_path, 3)
    (tmp_path / "images/P1.png").write_bytes(b"no image")
    (tmp_path / "images/P2.png").unlink()
    code, out = run(tmp_path, "--out", tmp_path / "out")
    assert code == 1 and "1 picture\n" in out and "P1.png: is no PNG" in out


def config(root: Path, pipeline: list[dict[str, Any]]) -> Path:
    dataset = {
        "type": "DOTADataset",
        "data_root": str(make(root)),
        "ann_file": "labelTxt/",
        "data_prefix": {"img_path": "images/"},
        "metainfo": {"classes": ("ship",)},
        "pipeline": [*LOAD, *pipeline],
    }
    (root / "config.py").write_text(dumps({"train_dataloader": {"batch_size": 1, "dataset": dataset}}))
    return root / "config.py"


def test_what_training_sees(tmp_path: Path) -> None:
    file = config(tmp_path, [{"type": "RandomFlip", "prob": 0.5, "direction": "vertical"}])
    code, out = run("--augment", file, "--out", tmp_path / "out", "--number", 2, "--draws", 6)
    assert code == 0 and "2 pictures" in out
    picture = written(tmp_path / "out/P0.jpg")[-100:]
    assert picture.shape[1] == 6 * 124
    rows = [np.flatnonzero(red(picture[:, 124 * i : 124 * i + 120]).sum(axis=1) > 40) for i in range(6)]
    places = {(int(r.min()) in (19, 20), int(r.max()) in (79, 80, 81)) for r in rows}
    assert places == {(True, False), (False, True)}, "some draws are flipped and some are not"


def test_what_the_pipeline_drops_is_said_and_not_drawn(tmp_path: Path) -> None:
    file = config(tmp_path, [{"type": "Resize", "scale": (120, 100), "keep_ratio": True}])
    text = SHIP + "5 5 5 5 5 5.05 5 5.05 ship 0\n"
    (tmp_path / "labelTxt/P0.txt").write_text(text)
    assert run("--augment", file, "--out", tmp_path / "out", "--number", 1)[0] == 0
    assert not red(written(tmp_path / "out/P0.jpg")[-100:])[:12, :15].any()


def test_normalized_images_are_shown_as_they_were(tmp_path: Path) -> None:
    file = config(tmp_path, [{"type": "Normalize", "mean": [1.0, 2.0, 3.0], "std": [50.0, 60.0, 70.0], "to_rgb": True}])
    pixels = np.zeros((100, 120, 3), np.uint8) + np.array([40, 120, 200], np.uint8)
    cv2.imwrite(str(tmp_path / "images/P0.png"), pixels)
    assert run("--augment", file, "--out", tmp_path / "out", "--number", 1)[0] == 0
    assert np.abs(written(tmp_path / "out/P0.jpg")[-5:].astype(int) - [40, 120, 200])[:, :100].max() < 6


def test_users_mistakes_are_one_line(tmp_path: Path) -> None:
    file = config(tmp_path, [])
    (tmp_path / "empty.py").write_text("model = dict()\n")
    out = tmp_path / "out"
    for arguments, says in [
        (("--out", out), "give one of DATA and --augment CONFIG"),
        ((tmp_path, "--augment", file, "--out", out), "give one of DATA and --augment CONFIG"),
        ((tmp_path, "--out", out, "--draws", 2), "--draws and --cfg-options: need --augment CONFIG"),
        (("--augment", file, "--out", out, "--images", tmp_path), "--images: works with DATA only"),
        (("--augment", tmp_path / "empty.py", "--out", out), "empty.py: has no train_dataloader.dataset"),
        ((tmp_path / "no", "--out", out), "no: no such file or folder"),
        ((tmp_path / "labelTxt", "--images", tmp_path, "--out", out), "none of its images is found"),
        ((tmp_path, "--out", file / "x"), "Not a directory"),
    ]:
        code, printed = run(*arguments)
        last = printed.splitlines()[-1]
        assert code == 2 and last.startswith("error: ") and says in last, printed


def test_images_of_the_set_are_never_replaced(tmp_path: Path) -> None:
    make(tmp_path / "set")
    before = {file.name for file in (tmp_path / "set/images").iterdir()}
    (tmp_path / "link").symlink_to(tmp_path / "set/images")
    for out in (tmp_path / "set/images", tmp_path / "link"):
        code, said = run(tmp_path / "set", "--out", out)
        assert code == 2
        assert said == f"error: {out}: holds images of the dataset, which could be replaced; name another folder\n"
    assert run("--augment", config(tmp_path / "set", []), "--out", tmp_path / "set/images")[0] == 2
    assert {file.name for file in (tmp_path / "set/images").iterdir()} == before


def test_pictures_of_images_anywhere_stay_in_their_folder(tmp_path: Path) -> None:
    files = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        files.append(tmp_path / folder / "P0.jpg")
        cv2.imwrite(str(files[-1]), np.full((100, 120, 3), 100, np.uint8))
    before = [file.read_bytes() for file in files]
    for names in ([str(file) for file in files], ["../a/P0.jpg", "../b/P0.jpg"]):
        record = {"images": [{"id": i, "file_name": name} for i, name in enumerate(names)], "categories": []}
        (tmp_path / "set.json").write_text(json.dumps(record))
        code, said = run(tmp_path / "set.json", "--images", tmp_path / "a", "--out", tmp_path / "out")
        assert (code, said) == (0, f"{tmp_path}/out: 2 pictures\n")
    assert [file.read_bytes() for file in files] == before
    found = sorted(str(file.relative_to(tmp_path / "out")) for file in (tmp_path / "out").rglob("*.jpg"))
    assert found == sorted([*(str(file)[1:] for file in files), "_/a/P0.jpg", "_/b/P0.jpg"])
