"""Datasets made of others: which images they give, and that they go through the right pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rotx.compat import build
from rotx.datasets.dota import DOTADataset
from rotx.datasets.sample import Sample
from rotx.datasets.wrappers import ClassBalancedDataset, ConcatDataset, RepeatDataset

PLANE = "60 10 90 20 80 50 50 40 plane 1\n"
SHIP = "10 10 50 10 50 40 10 40 ship 0\n"
FLAT = "5 5 9 9 13 13 7 7 ship 0\n"


def scaled(factor: float) -> Callable[[Sample, np.random.Generator], Sample]:
    def transform(sample: Sample, rng: np.random.Generator) -> Sample:
        sample.instances.boxes = sample.record.instances.boxes * factor
        return sample

    return transform


def config(folder: Path, name: str, labels: dict[str, str], **settings: Any) -> dict[str, Any]:
    """What a config says of a dataset whose files are made here."""
    for inner in ("labels", "images"):
        (folder / name / inner).mkdir(parents=True, exist_ok=True)
    for image, text in labels.items():
        (folder / name / f"labels/{image}.txt").write_text(text)
        (folder / name / f"images/{image}.png").touch()
    paths = {"data_root": str(folder / name), "ann_file": "labels", "data_prefix": {"img_path": "images"}}
    return {"type": "DOTADataset", **paths, "metainfo": {"classes": ("plane", "ship")}, **settings}


def names(dataset: Any) -> list[str]:
    return [record.name for record in dataset.records]


def test_concat(tmp_path: Path) -> None:
    one = config(tmp_path, "one", {"P2": SHIP, "P1": SHIP + FLAT}, pipeline=[scaled(2)])
    two = config(tmp_path, "two", {"P1": PLANE + FLAT}, pipeline=[scaled(3)])
    both = build({"type": "ConcatDataset", "datasets": [one, two], "ignore_keys": ["DATASET_TYPE"]})
    assert isinstance(both, ConcatDataset) and len(both) == 3 and names(both) == ["P1", "P2", "P1"]
    assert both.classes == ("plane", "ship") and both.dropped == {"zero area": 2} and not both.test_mode
    assert sum("dropped, zero area" in notice for notice in both.notices) == 2
    for index, (folder, factor) in enumerate((("one", 2), ("one", 2), ("two", 3))):
        sample = both.sample(index, np.random.default_rng(0))
        assert sample.record is both.record(index) and sample.record.path.parent.parent.name == folder
        np.testing.assert_array_equal(sample.instances.boxes, sample.record.instances.boxes * factor)
    found = both.annotations()
    assert (found.image.tolist(), found.label.tolist(), found.difficult.tolist()) == ([0, 1, 2], [1, 1, 0], [0, 0, 1])


def test_repeat(tmp_path: Path) -> None:
    once = config(tmp_path, "one", {"P2": SHIP, "P1": PLANE}, pipeline=[scaled(2)])
    thrice = build({"type": "RepeatDataset", "dataset": once, "times": 3})
    assert isinstance(thrice, RepeatDataset) and names(thrice) == ["P1", "P2"] * 3
    first, last = thrice.sample(1, np.random.default_rng(0)), thrice.sample(5, np.random.default_rng(0))
    np.testing.assert_array_equal(first.instances.boxes, last.instances.boxes)


def test_rare_classes_more_often(tmp_path: Path) -> None:
    labels = {"a": PLANE + SHIP, "b": "", **{f"c{i:02}": SHIP * 3 for i in range(14)}}
    inner = config(tmp_path, "one", labels)
    dataset = build({"type": "ClassBalancedDataset", "dataset": inner, "oversample_thr": 0.5})
    # Planes are on 1 of 16 images: √(0.5 · 16) = 2.8, so 3 times; ships are on 15.
    assert isinstance(dataset, ClassBalancedDataset) and names(dataset).count("a") == 3 and len(dataset) == 18
    same = build({"type": "ClassBalancedDataset", "dataset": inner, "oversample_thr": 1 / 16})
    assert names(same) == sorted(labels)
    # Ships ask for √(16 / 15) = 1.03 times, rounded up.
    all_of = build({"type": "ClassBalancedDataset", "dataset": inner, "oversample_thr": 1.0})
    assert names(all_of).count("c00") == 2 and names(all_of).count("a") == 4 and names(all_of).count("b") == 1


def test_wrappers_in_wrappers(tmp_path: Path) -> None:
    one, two = config(tmp_path, "one", {"P1": SHIP}), config(tmp_path, "two", {"P2": PLANE})
    inner = {"type": "ConcatDataset", "datasets": [one, {"type": "RepeatDataset", "dataset": two, "times": 2}]}
    dataset = build({"type": "RepeatDataset", "dataset": inner, "times": 2})
    assert names(dataset) == ["P1", "P2", "P2", "P1", "P2", "P2"]
    assert [dataset.sample(i, np.random.default_rng(0)).record.name for i in range(6)] == names(dataset)


def test_wrappers_for_evaluation(tmp_path: Path) -> None:
    one = config(tmp_path, "one", {"P1": SHIP + FLAT}, test_mode=True)
    two = config(tmp_path, "two", {"P2": PLANE}, test_mode=True)
    dataset = build({"type": "ConcatDataset", "datasets": [one, two]})
    assert dataset.test_mode and dataset.annotations().images == ["P1", "P2"] and len(dataset.annotations().quads) == 3
    with pytest.raises(ValueError, match="evaluation needs every image once, but P1 occurs 2 times"):
        build({"type": "ConcatDataset", "datasets": [one, one]})
    with pytest.raises(ValueError, match="evaluation needs every image once"):
        build({"type": "RepeatDataset", "dataset": one, "times": 2})


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"type": "ConcatDataset", "datasets": []}, "datasets: need a list of at least one, got []"),
        ({"type": "ConcatDataset", "datasets": "x"}, "datasets: need a list of at least one, got 'x'"),
        ({"type": "ConcatDataset", "datasets": [{"ann_file": "x"}]}, "datasets.0: need a dataset, dict(type=...), got"),
        ({"type": "RepeatDataset", "dataset": 3, "times": 2}, "dataset: need a dataset, dict(type=...), got 3"),
        ({"type": "RepeatDataset", "dataset": None}, "RepeatDataset needs 'times'"),
        ({"type": "ClassBalancedDataset", "dataset": {}, "oversample_thr": 1}, "dataset: need a dataset"),
    ],
)
def test_wrappers_that_are_wrong(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError) as caught:
        build(settings)
    assert said in str(caught.value)


def test_what_does_not_fit_together(tmp_path: Path) -> None:
    one = config(tmp_path, "one", {"P1": SHIP})
    other = {**one, "metainfo": {"classes": ("ship", "plane")}}
    with pytest.raises(ValueError, match=r"datasets.1: the classes differ: \('ship', 'plane'\), but of datasets.0"):
        build({"type": "ConcatDataset", "datasets": [one, other]})
    with pytest.raises(ValueError, match=r"datasets.1: test_mode differs"):
        build({"type": "ConcatDataset", "datasets": [one, {**one, "test_mode": True}]})
    for times in (0, 1.5, True):
        with pytest.raises(ValueError, match=r"times: need an integer of at least 1"):
            build({"type": "RepeatDataset", "dataset": one, "times": times})
    for threshold in (-0.1, 2, "x"):
        with pytest.raises(ValueError, match=r"oversample_thr: need a number in \[0, 1\]"):
            build({"type": "ClassBalancedDataset", "dataset": one, "oversample_thr": threshold})
    assert isinstance(build(one), DOTADataset)
