"""Converting what is damaged: one line that says what, whatever the damage, and nothing is left behind."""

from __future__ import annotations

import json
import os
import random
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from damaged import CASES, Case
from rotx.cli import main

SQUARE = [[10, 10], [50, 10], [50, 40], [10, 40]]
LABELME = {
    "shapes": [
        {"label": "ship", "points": SQUARE, "shape_type": "polygon", "flags": {"difficult": True}, "group_id": None},
        {"label": "plane", "points": [*SQUARE, [3, 3]], "shape_type": "polygon"},
    ],
    "imagePath": "1.jpg",
    "imageHeight": 60,
    "imageWidth": 80,
}
COCO = {
    "images": [{"id": 1, "file_name": "1.jpg", "width": 80, "height": 60}],
    "categories": [{"id": 1, "name": "ship"}],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [[10, 10, 50, 10, 50, 40, 10, 40]], "difficult": 1},
        {"id": 2, "image_id": 1, "category_id": 1, "bbox": [30, 30, 20, 10, 0.5], "score": 0.5},
    ],
}
PIECES = [
    "",
    ",",
    "null",
    "-1",
    "1e999",
    "NaN",
    "[]",
    "{}",
    "[[1]]",
    '"x"',
    "true",
    "\\ud800",
    "\\u0000",
    "é",
    "\0",
    ":",
    "-",
]


def check(arguments: list[str], out: Path) -> bool:
    """Whether a conversion ran; if not, that it said why in one line and left nothing."""
    result = CliRunner().invoke(main, ["convert", *arguments])
    if result.exit_code == 0:
        return True
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), (result.output, result.exception)
    lines = result.stderr.splitlines()
    assert lines[-1].startswith("error: ") and all(line.startswith("note: ") for line in lines[:-1])
    assert not out.exists() and not list(out.parent.glob(f".{out.name}*"))
    return False


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_damaged_sets(case: Case, tmp_path: Path) -> None:
    if case.not_as_root and os.geteuid() == 0:
        pytest.skip("root may read every file")
    annotations, _ = case.make(tmp_path)
    out = tmp_path / "converted"
    ran = check([str(annotations), str(out), "--to", "dota"], out)
    again = tmp_path / "lenient"
    assert check([str(annotations), str(again), "--to", "dota", "--lenient"], again) or not ran


@pytest.mark.parametrize("kind", ["labelme", "coco", "yolo"])
def test_random_damage(kind: str, tmp_path: Path) -> None:
    source, file, text = write(kind, tmp_path)
    draw, ran = random.Random(kind), 0
    for i in range(150):
        damaged = text
        for _ in range(draw.randint(1, 2)):
            at, length = draw.randrange(len(damaged)), draw.choice([0, 1, 1, 5])
            damaged = damaged[:at] + draw.choice(PIECES) + damaged[at + length :]
        file.write_bytes(damaged.encode())
        out = tmp_path / f"out-{i}"
        to = draw.choice(["dota", "voc", "labelme", "yolo", "rolabelimg"])
        ran += check([str(source), str(out), "--to", to, *draw.choice([[], ["--lenient"]])], out)
    assert 10 < ran < 140, "nothing much is tested"


def write(kind: str, folder: Path) -> tuple[Path, Path, str]:
    """A small data set: what to convert, the file to damage, and what that holds."""
    if kind == "coco":
        return folder / "in.json", folder / "in.json", json.dumps(COCO)
    if kind == "labelme":
        (folder / "in").mkdir()
        return folder / "in", folder / "in/1.json", json.dumps(LABELME)
    for part in ("images", "labels"):
        (folder / "in" / part).mkdir(parents=True)
    cv2.imwrite(str(folder / "in/images/1.jpg"), np.zeros((60, 80), np.uint8))
    (folder / "in/labels/1.txt").write_text("0 .1 .1 .5 .1 .5 .4 .1 .4\n1 .1 .1 .5 .1 .5 .4 .1 .4 .75\n")
    return folder / "in", folder / "in/data.yaml", "nc: 2\nnames:  # all\n  0: ship\n  1: 'it''s'\ntrain: \"images\"\n"
