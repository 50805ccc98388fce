"""`rotx-eval score` on real annotations and detections; what is known about each set stands in its README."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from rotx.annotations.formats import read_annotations
from rotx.cli.eval import main


def score(*arguments: object) -> str:
    result = CliRunner().invoke(main, ["score", *map(str, arguments)])
    assert result.exit_code == 0, result.output
    return result.output


def perfect_results(annotations: Path, folder: Path) -> Path:
    """Every object of the annotations as a detection of Task 1, with scores that fall from 1."""
    data = read_annotations(annotations)
    folder.mkdir()
    scores = np.linspace(1, 0.01, len(data.quads))
    for label, name in enumerate(data.classes):
        rows = np.flatnonzero(data.label == label)
        lines = [
            f"{data.images[data.image[i]]} {scores[i]:.8f} {' '.join(map(repr, data.quads[i].tolist()))}" for i in rows
        ]
        (folder / f"Task1_{name}.txt").write_text("\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize(
    ("name", "images", "objects"),
    [
        ("dota_whole/lin_sinorodin/train/labelTxt", 3, None),
        ("dota_whole/devkit_example", 7, None),
        ("dota_whole/s2anet_example/labelTxt", 3, None),
        ("dior_r_annotations/dior_r_val.txt.gz", 5_863, 35_439),
        ("dior_r_annotations/dior_r_test.txt.gz", 11_738, 124_445),
        ("hrsc_ssdd_gghl/train_HRSC2016_v1.txt", 617, 1_748),
        ("hrsc_ssdd_gghl/ssdd.txt", 1_160, 2_549),
    ],
)
def test_a_perfect_detector_scores_one(
    shared: Path, tmp_path: Path, name: str, images: int, objects: int | None
) -> None:
    annotations = shared / "data" / name
    results = perfect_results(annotations, tmp_path / "Task1")
    data = read_annotations(annotations)
    assert len(data.images) == images and (objects is None or len(data.quads) == objects)
    score(annotations, results, "--protocol", "voc12", "--json", tmp_path / "o.json")
    record = json.loads((tmp_path / "o.json").read_text())
    counted = [c for c in record["classes"].values() if c["gts"]]
    assert sum(c["gts"] for c in counted) == (data.difficult == 0).sum()
    # Objects annotated twice, which nothing tells apart, may each find the other's detection.
    assert all(c["ap"] > 0.98 for c in counted), record
    assert np.mean([c["ap"] for c in counted]) > 0.998


def test_east_on_icdar2015(shared: Path, tmp_path: Path) -> None:
    text = shared / "data/scene_text"
    arguments = text / "icdar2015_gt.zip", text / "east_icdar2015_result.tar.gz"
    output = score(
        *arguments, "--protocol", "icdar2015", "--json", tmp_path / "o.json", "--per-image", tmp_path / "v.csv"
    )
    assert "| 0.8446    | 0.7718 | 0.8065 |" in output
    record = json.loads((tmp_path / "o.json").read_text())
    assert (record["gts"], record["precision"], record["recall"]) == (
        2_077,
        pytest.approx(0.8446, abs=5e-5),
        pytest.approx(0.7718, abs=5e-5),
    )
    assert len((tmp_path / "v.csv").read_text().splitlines()) == 2_579 + 1
