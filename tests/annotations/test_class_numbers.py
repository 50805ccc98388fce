"""Numbers of classes that two splits share, and classes that are renamed, merged and selected."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from rotx.cli import main

BOX = "10 10 50 10 50 40 10 40"
SPLITS = {"train": ["ship", "plane"], "val": ["plane", "ship", "plane"], "test": ["ship"]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for split, names in SPLITS.items():
        for kind in ("images", "labelTxt"):
            (tmp_path / split / kind).mkdir(parents=True)
        cv2.imwrite(str(tmp_path / split / "images/a.png"), np.zeros((60, 80, 3), np.uint8))
        lines = "".join(f"{BOX} {name} 0\n" for name in names)
        (tmp_path / split / "labelTxt/a.txt").write_text(lines)
    return tmp_path


def convert(folder: Path, split: str, to: str, *options: object) -> tuple[list[str], str]:
    """Names of the objects by the numbers that were written, and what was printed."""
    out = folder / (f"{split}.json" if to == "coco" else f"{split}-out")
    arguments = [folder / split / "labelTxt", out, "--to", to, "--images", folder / split / "images", *options]
    result = CliRunner().invoke(main, ["convert", *map(str, arguments)])
    if result.exit_code:
        return [], result.output
    if to == "coco":
        content = json.loads(out.read_bytes())
        return [str(thing["category_id"]) for thing in content["annotations"]], result.output
    return [line.split()[0] for line in (out / "labels/a.txt").read_text().splitlines()], result.output


@pytest.mark.parametrize("to", ["yolo", "coco"])
def test_train_and_val_have_the_same_numbers(to: str, folder: Path) -> None:
    (train, said), (val, _) = convert(folder, "train", to), convert(folder, "val", to)
    assert val == [train[1], train[0], train[1]]
    assert "alphabetical order; for another order use --classes plane,ship" in said


@pytest.mark.parametrize("listed", ["ship,plane", "names.txt"])
def test_numbers_of_ones_own(listed: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    (folder / "names.txt").write_text("ship\n\nplane\n")
    numbers = {split: convert(folder, split, "yolo", "--classes", listed)[0] for split in SPLITS}
    assert numbers == {"train": ["0", "1"], "val": ["1", "0", "1"], "test": ["0"]}


def test_select_rename_and_merge(folder: Path) -> None:
    some, said = convert(folder, "val", "yolo", "--classes", "ship")
    assert some == ["0"] and "2 objects of other classes: left out (plane 2)" in said
    merged, said = convert(folder, "val", "coco", "--rename", "plane=thing", "--rename", "ship=thing")
    assert len(set(merged)) == 1 and "1 classes: thing 3" in said
    renamed, _ = convert(folder, "train", "yolo", "--rename", "ship=a boat", "--classes", "plane,a boat")
    assert renamed == ["1", "0"]


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--classes", "ship,ship"), "--classes: need different names"),
        (("--classes", "ship,,plane"), "--classes: need different names"),
        (("--rename", "ship"), "--rename: need OLD=NEW"),
        (("--rename", "ship=a", "--rename", "ship=b"), "--rename: need OLD=NEW"),
        (("--rename", "shipp=a"), "there is no class 'shipp'; did you mean 'ship'?"),
    ],
)
def test_wrong_options(options: tuple[str, ...], says: str, folder: Path) -> None:
    numbers, said = convert(folder, "val", "yolo", *options)
    assert not numbers and says in said and not (folder / "val-out").exists()
