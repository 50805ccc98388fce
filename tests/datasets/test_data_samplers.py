"""Samplers: every image once, the same global batches for any number of ranks, epochs that do not repeat themselves."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from itertools import chain, pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from rotx.compat import build
from rotx.datasets.samplers import (
    AspectRatioBatchSampler,
    ClassAwareSampler,
    DataSampler,
    DefaultSampler,
    Draw,
    InfiniteSampler,
    tall_images,
)
from rotx.records import ImageRecord, Instances


@dataclass
class Labels:
    """A dataset of nothing but labels and sizes."""

    labels: list[list[int]]
    sizes: list[tuple[int, int] | None] = field(default_factory=list)
    classes: tuple[str, ...] = ("a", "b", "c")
    test_mode: bool = False
    path: Path = Path("none.png")

    def __len__(self) -> int:
        return len(self.labels)

    def record(self, index: int) -> ImageRecord:
        labels = np.array(self.labels[index], np.int64)
        size = self.sizes[index] if self.sizes else None
        ignored = np.zeros(len(labels), np.bool_)
        objects = Instances(np.zeros((len(labels), 8)), "quad", labels, ignored=ignored)
        return ImageRecord(str(index), self.path, objects, size)


TEN = Labels([[0], [1], [0], [], [0], [0], [1, 0], [0], [0], [2]], [(4, 8), (8, 4)] * 3 + [(5, 5)] * 4)
SAMPLERS: list[DataSampler] = [
    DefaultSampler(),
    DefaultSampler(shuffle=False),
    InfiniteSampler(),
    ClassAwareSampler(),
    AspectRatioBatchSampler(),
]


def drawn(sampler: Any, dataset: Labels, batch_size: int, **keywords: int) -> list[list[Draw]]:
    batches: list[list[Draw]] = sampler.batches(dataset, batch_size, **{"seed": 0, "epoch": 0, **keywords})
    return batches


def indices(batches: list[list[Draw]]) -> list[int]:
    return [draw.index for draw in chain(*batches)]


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda x: type(x).__name__)
def test_a_global_batch_is_the_same_for_any_number_of_ranks(sampler: DataSampler) -> None:
    for epoch in (0, 3):
        alone = drawn(sampler, TEN, 4, epoch=epoch)
        ranks = [drawn(sampler, TEN, 2, epoch=epoch, rank=rank, world=2) for rank in range(2)]
        assert alone == [list(chain(*parts)) for parts in zip(*ranks, strict=True)]
        assert all(len(batch) == 4 for batch in alone)


@pytest.mark.parametrize("sampler", SAMPLERS, ids=lambda x: type(x).__name__)
def test_positions_never_repeat_and_seed_and_epoch_decide(sampler: DataSampler) -> None:
    epochs = [drawn(sampler, TEN, 4, epoch=epoch) for epoch in range(5)]
    positions = [draw.position for draw in chain(*chain(*epochs))]
    assert len(set(positions)) == len(positions)
    assert epochs[2] == drawn(sampler, TEN, 4, epoch=2)
    if sampler is not SAMPLERS[1]:
        assert indices(epochs[0]) != indices(epochs[1])
        assert indices(epochs[0]) != indices(drawn(sampler, TEN, 4, seed=1))


def test_default_sampler_fills_the_last_batch_in_training_only() -> None:
    training = drawn(DefaultSampler(shuffle=False), TEN, 4)
    assert indices(training) == [*range(10), 0, 1]
    assert [draw.position for draw in chain(*training)] == list(range(12))
    loose = DefaultSampler(round_up=False)
    assert sorted(indices(drawn(loose, TEN, 4))) == list(range(10))


@pytest.mark.parametrize("sampler", [DefaultSampler(shuffle=False), AspectRatioBatchSampler()])
@pytest.mark.parametrize("world", [1, 2, 3, 7, 20])
def test_in_test_mode_every_image_comes_once(sampler: DataSampler, world: int) -> None:
    dataset = Labels(TEN.labels, TEN.sizes, test_mode=True)
    shards = [drawn(sampler, dataset, 2, rank=rank, world=world) for rank in range(world)]
    assert sorted(chain(*map(indices, shards))) == list(range(10))
    assert all(chain(*shards))  # no empty batch


def test_one_small_dataset_and_many_ranks() -> None:
    three = Labels([[0]] * 3)
    ranks = [drawn(DefaultSampler(), three, 2, rank=rank, world=4) for rank in range(4)]
    assert [len(batches) for batches in ranks] == [1] * 4
    assert set(chain(*map(indices, ranks))) == {0, 1, 2}


def test_own_seed_comes_before_that_of_the_training() -> None:
    sampler = DefaultSampler(seed=5)
    assert indices(drawn(sampler, TEN, 4, seed=1)) == indices(drawn(sampler, TEN, 4, seed=2))


def test_infinite_sampler_shows_all_before_any_again() -> None:
    stream = [i for epoch in range(5) for i in indices(drawn(InfiniteSampler(), TEN, 4, epoch=epoch))]
    assert len(stream) == 60
    for i in range(0, 60, 10):
        assert sorted(stream[i : i + 10]) == list(range(10))
    assert stream[:10] != stream[10:20]


def test_class_aware_sampler_draws_classes_equally() -> None:
    sampler = ClassAwareSampler()
    stream = [i for epoch in range(30) for i in indices(drawn(sampler, TEN, 5, epoch=epoch))]
    seen = Counter(stream)
    assert seen[3] == 0  # no object
    assert 85 <= seen[9] <= 115  # the only image of class 2, a third of 300 draws
    doubled = indices(drawn(ClassAwareSampler(num_sample_class=2), TEN, 5))
    assert any(a == b == 9 for a, b in pairwise(doubled))
    with pytest.raises(ValueError, match="no image of the dataset has an object"):
        drawn(ClassAwareSampler(), Labels([[], []]), 1)


def test_aspect_ratio_batches_hold_one_kind() -> None:
    rng = np.random.default_rng(0)
    sizes = [(int(h), int(w)) for h, w in rng.integers(10, 20, (50, 2))]
    dataset = Labels([[]] * 50, list(sizes))
    batches = drawn(AspectRatioBatchSampler(), dataset, 4)
    kinds = [{sizes[draw.index][0] > sizes[draw.index][1] for draw in batch} for batch in batches]
    assert all(len(kind) == 1 for kind in kinds) and len(set(map(tuple, kinds))) == 2
    assert set(indices(batches)) == set(range(50))
    short = drawn(AspectRatioBatchSampler(drop_last=True), dataset, 4)
    assert len(indices(short)) == len(set(indices(short))) < 50


def test_aspect_ratio_from_files(tmp_path: Path) -> None:
    Image.new("RGB", (4, 9)).save(tmp_path / "tall.png")
    tall = Labels([[]], path=tmp_path / "tall.png")
    broken = Labels([[]], path=tmp_path / "broken.png")
    assert tall_images(tall).tolist() == [True]
    assert tall_images(broken).tolist() == [False]


def test_files_of_repeated_images_are_opened_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def size(path: Path) -> tuple[int, int]:
        opened.append(path)
        return 9, 4

    monkeypatch.setattr("rotx.datasets.samplers.image_size", size)
    assert tall_images(Labels([[]] * 5, path=tmp_path / "tall.png")).all() and len(opened) == 1


def test_built_from_configs() -> None:
    sampler = build(
        {"type": "AspectRatioBatchSampler", "sampler": {"type": "DefaultSampler", "shuffle": False}, "drop_last": True}
    )
    assert not sampler.sampler.shuffle
    with pytest.raises(ValueError, match="InfiniteSampler has no order"):
        AspectRatioBatchSampler(sampler=InfiniteSampler())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="num_sample_class"):
        ClassAwareSampler(num_sample_class=0)
