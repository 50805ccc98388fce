"""The loader: the same items whatever the workers, unreadable images, degenerate objects, errors as they were."""

from __future__ import annotations

import pickle
import shutil
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import pytest
import torch

from rotx import boxes
from rotx.compat import build
from rotx.datasets import loader as loader_module
from rotx.datasets.dataset import Dataset
from rotx.datasets.loader import LoadedImage, LoadedImages, build_loader, check_shared_memory
from rotx.datasets.sample import Sample
from rotx.datasets.samplers import DefaultSampler, Draw
from rotx.geometry import box_iou_aligned, quad_to_rbox, rbox_to_quad
from rotx.images.files import UnreadableImage
from rotx.records import ImageRecord, Instances

TRAIN = [
    {"type": "LoadImageFromFile"},
    {"type": "LoadAnnotations", "with_bbox": True, "box_type": "qbox"},
    {"type": "ConvertBoxType", "box_type_mapping": {"gt_bboxes": "rbox"}},
    {"type": "Resize", "scale": (48, 48), "keep_ratio": True},
    {"type": "RandomFlip", "prob": 0.75, "direction": ["horizontal", "vertical", "diagonal"]},
    {"type": "RandomRotate", "prob": 0.5},
    {"type": "PackDetInputs"},
]
TEST = [TRAIN[0], TRAIN[3], TRAIN[1], TRAIN[6]]


class Tiny(Dataset):
    """A dataset of small images with random boxes."""

    classes = ("a", "b")

    def __init__(self, folder: Path, count: int = 10, pipeline: Any = None, test_mode: bool = False) -> None:
        self.test_mode = test_mode
        self.transforms = build(pipeline or (TEST if test_mode else TRAIN))
        self.records = []
        rng = np.random.default_rng(0)
        for i in range(count):
            path = folder / f"{i}.png"
            cv2.imwrite(str(path), rng.integers(0, 256, (32, 40, 3), np.uint8))
            quads = rbox_to_quad(
                np.column_stack([rng.uniform(12, 24, (6, 2)), rng.uniform(3, 9, (6, 2)), rng.random(6)])
            )
            labels, ignored = rng.integers(0, 2, 6), np.arange(6) == 5
            objects = Instances(quads, "quad", labels, ignored=ignored, difficult=np.zeros(6, np.uint8))
            self.records.append(ImageRecord(str(i), path, objects))


def replace_quads(dataset: Tiny, index: int, quads: Any) -> None:
    old, n = dataset.records[index], len(quads)
    objects = Instances(np.array(quads, np.float64), "quad", np.zeros(n, np.int64), ignored=np.zeros(n, np.bool_))
    dataset.records[index] = ImageRecord(old.name, old.path, objects)


def same(a: LoadedImage, b: LoadedImage) -> bool:
    arrays = [(a.image, b.image), (torch.from_numpy(a.matrix), torch.from_numpy(b.matrix))]
    arrays += [(getattr(a.instances, x), getattr(b.instances, x)) for x in ("boxes", "labels", "ignored")]
    rest = ("name", "path", "size", "dropped", "skipped")
    return all(torch.equal(x, y) for x, y in arrays) and all(getattr(a, x) == getattr(b, x) for x in rest)


def test_items_hold_what_a_detector_takes(tmp_path: Path) -> None:
    dataset = Tiny(tmp_path)
    item = LoadedImages(dataset)[Draw(0, 3)]
    assert item.name == "3" and item.path == tmp_path / "3.png"
    assert item.image.dtype == torch.uint8 and item.image.shape == (3, 38, 48) and item.image.is_contiguous()
    found = item.instances
    assert (found.boxes.dtype, found.labels.dtype, found.ignored.dtype) == (torch.float32, torch.int64, torch.bool)
    assert found.kind == "rbox" and found.ignored.any()
    assert len(found) + sum(item.dropped.values()) == 6
    sample = dataset.sample(3, np.random.default_rng((0, 0)))
    assert item.size == (32, 40)
    np.testing.assert_array_equal(item.matrix, sample.matrix)
    np.testing.assert_array_equal(item.image.numpy(), sample.image.transpose(2, 0, 1))


@pytest.mark.parametrize("version", ["le90", "le135", "oc"])
def test_boxes_are_of_the_angle_version(tmp_path: Path, version: Any) -> None:
    dataset = Tiny(tmp_path)
    for position in range(20):
        item = LoadedImages(dataset, angle_version=version, seed=3)[Draw(position, position % 10)]
        sample = dataset.sample(position % 10, np.random.default_rng((3, position)))
        found = item.instances.boxes
        overlaps = box_iou_aligned(found.double().numpy(), quad_to_rbox(sample.instances.boxes))
        assert len(overlaps) == 0 or overlaps.min() > 0.999
        torch.testing.assert_close(boxes.regularize(found, version), found, rtol=0, atol=1e-6)


@pytest.mark.parametrize("workers", [1, 2])
def test_workers_change_nothing(tmp_path: Path, workers: int) -> None:
    dataset = Tiny(tmp_path)
    dataset.records[4].path.write_bytes(b"no image")
    batches = DefaultSampler().batches(dataset, 4, seed=5, epoch=2)
    before = torch.get_rng_state()
    alone = list(build_loader(dataset, batches, num_workers=0, seed=5))
    loaded = list(build_loader(dataset, batches, num_workers=workers, seed=5))
    assert torch.equal(torch.get_rng_state(), before)
    assert [len(items) for items in loaded] == [4, 4, 4]
    assert all(same(a, b) for a, b in zip(chain(*alone), chain(*loaded), strict=True))
    assert sum(len(item.skipped) for item in chain(*loaded)) >= 1
    # Resumed in the middle, the rest is the same.
    rest = list(build_loader(dataset, batches[1:], num_workers=workers, seed=5))
    assert all(same(a, b) for a, b in zip(chain(*alone[1:]), chain(*rest), strict=True))
    # Another seed shows the images otherwise.
    other = list(build_loader(dataset, batches, num_workers=0, seed=6))
    assert not all(same(a, b) for a, b in zip(chain(*alone), chain(*other), strict=True))


def test_an_unreadable_image_is_replaced_and_named(tmp_path: Path) -> None:
    dataset = Tiny(tmp_path)
    dataset.records[4].path.unlink()
    item = LoadedImages(dataset)[Draw(0, 4)]
    assert item.name != "4" and item.image.numel()
    assert item.skipped == [f"{tmp_path / '4.png'}: No such file or directory"]


def test_many_unreadable_images_end_the_training(tmp_path: Path) -> None:
    dataset = Tiny(tmp_path)
    for record in dataset.records:
        record.path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"^11 images in a row cannot be read: .*4\.png: is empty") as caught:
        LoadedImages(dataset)[Draw(0, 4)]
    for workers in (0, 1):
        with pytest.raises(ValueError) as again:
            list(build_loader(dataset, [[Draw(0, 4)]], num_workers=workers))
        assert str(again.value) == str(caught.value)
        assert "in __getitem__" in str(again.value.__cause__)


def test_test_mode(tmp_path: Path) -> None:
    dataset = Tiny(tmp_path, test_mode=True)
    dataset.records[4].path.write_bytes(b"no image")
    (items,) = build_loader(dataset, [[Draw(0, 3), Draw(1, 4)]], num_workers=1)
    assert items[0].image.shape == (3, 38, 48) and np.diag(items[0].matrix).tolist() == [48 / 40, 38 / 32, 1]
    assert items[1].name == "4" and items[1].image.shape == (3, 0, 0)
    assert items[1].skipped == [f"{tmp_path / '4.png'}: holds no image that OpenCV can read"]
    assert all(item.instances.boxes.shape == (0, 5) and not item.dropped for item in items)


def test_degenerate_objects_are_dropped_and_counted(tmp_path: Path) -> None:
    dataset = Tiny(tmp_path, pipeline=TRAIN[:3])
    good, line = [2, 2, 9, 2, 9, 9, 2, 9], [1, 1, 5, 5, 9, 9, 5, 5]
    replace_quads(dataset, 0, [good, line, [3] * 8, [np.nan, *good[1:]], [*good[:-1], np.inf]])
    item = LoadedImages(dataset)[Draw(0, 0)]
    assert len(item.instances) == 1 and item.instances.boxes.isfinite().all()
    assert item.dropped == Counter({"not finite": 2, "thinner than 0.1 px": 2})
    replace_quads(dataset, 0, np.zeros((0, 8)))
    empty = LoadedImages(dataset)[Draw(0, 0)]
    assert empty.instances.boxes.shape == (0, 5) and len(empty.instances.labels) == 0 and not empty.dropped


def test_a_normalized_image_is_float32(tmp_path: Path) -> None:
    pipeline = [*TRAIN[:3], {"type": "Normalize", "mean": [1, 2, 3], "std": [4, 5, 6]}]
    item = LoadedImages(Tiny(tmp_path, pipeline=pipeline))[Draw(0, 0)]
    assert item.image.dtype == torch.float32
    pixel = cv2.imread(str(tmp_path / "0.png"))[5, 7, ::-1].astype(np.float64)
    np.testing.assert_allclose(item.image[:, 5, 7].numpy(), (pixel - [1, 2, 3]) / [4, 5, 6], rtol=1e-6)


def test_a_pipeline_without_an_image(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the pipeline loads no image; add LoadImageFromFile"):
        LoadedImages(Tiny(tmp_path, pipeline=TRAIN[1:3]))[Draw(0, 0)]


def test_items_between_processes(tmp_path: Path) -> None:
    item = LoadedImages(Tiny(tmp_path))[Draw(0, 0)]
    assert same(pickle.loads(pickle.dumps(item)), item)
    assert isinstance(item.instances.boxes, torch.Tensor)  # pickling leaves it as it was


class Usage(NamedTuple):
    total: int
    used: int
    free: int


def free_bytes(monkeypatch: pytest.MonkeyPatch, free: int) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: Usage(10**9, 0, free))


def test_shared_memory_is_checked_before_workers_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = Tiny(tmp_path)
    monkeypatch.setattr(loader_module, "_SHARED_MEMORY", tmp_path)
    size = 3 * 38 * 48
    free_bytes(monkeypatch, size * 8 * (3 * 2 + 1))
    check_shared_memory(dataset, 8, 3)
    free_bytes(monkeypatch, size * 8 * (3 * 2 + 1) - 1)
    with pytest.raises(ValueError, match=r"3 workers with batches of 8 need .*: set num_workers=2, .*--shm-size=1g"):
        check_shared_memory(dataset, 8, 3)
    check_shared_memory(dataset, 8, 2)
    with pytest.raises(
        ValueError, match=r"2 workers in each of 2 processes with batches of 8 need .*: set num_workers=1"
    ):
        check_shared_memory(dataset, 8, 2, processes=2)
    check_shared_memory(dataset, 8, 1, processes=2)
    # Beside another loader, such as that of training while another one validates.
    assert check_shared_memory(dataset, 8, 1) == size * 8 * 3
    check_shared_memory(dataset, 8, 1, taken=size * 8 * 3)
    with pytest.raises(ValueError, match=r"1 workers with batches of 8 need .*: set num_workers=0"):
        check_shared_memory(dataset, 8, 1, taken=size * 8 * 5)
    check_shared_memory(dataset, 8, 0)
    monkeypatch.setattr(loader_module, "_SHARED_MEMORY", tmp_path / "absent")
    check_shared_memory(dataset, 10**6, 3)


@pytest.mark.parametrize("error", [OSError(5, "Input/output error", "x.png"), UnreadableImage("x.png", "why")])
def test_errors_of_workers_come_out_as_they_were(tmp_path: Path, error: Exception) -> None:
    dataset = Tiny(tmp_path, test_mode=False)
    dataset.transforms = [Failing(error)]
    expected = OSError if isinstance(error, OSError) else ValueError
    with pytest.raises(expected) as caught:
        list(build_loader(dataset, [[Draw(0, 0)]], num_workers=1))
    assert str(error) in str(caught.value)


class Failing:
    def __init__(self, error: Exception) -> None:
        self.error = error

    def __call__(self, sample: Sample, rng: np.random.Generator) -> Sample:
        raise self.error


def test_a_bug_keeps_its_traceback(tmp_path: Path) -> None:
    dataset = Tiny(tmp_path)
    dataset.transforms = [Failing(KeyError("bug"))]
    with pytest.raises(KeyError, match="in DataLoader worker process 0"):
        list(build_loader(dataset, [[Draw(0, 0)]], num_workers=1))


UNCAUGHT = """
import sys
from pathlib import Path
from rotx.datasets.loader import build_loader
from rotx.datasets.samplers import Draw
from test_loader import Failing, Tiny
dataset = Tiny(Path(sys.argv[1]))
dataset.transforms += [Failing(KeyError("bug"))] if sys.argv[2] == "worker" else []
loader = build_loader(dataset, [[Draw(0, 0)]] * 9, num_workers=2)
batches = iter(loader)  # a name that the traceback keeps
next(batches)
raise KeyError("bug")
"""


@pytest.mark.parametrize("where", ["worker", "main"])
def test_a_program_that_fails_ends(tmp_path: Path, where: str) -> None:
    """Not so if the workers, which ignore SIGTERM, were waited for."""
    command = [sys.executable, "-c", UNCAUGHT, str(tmp_path), where]
    run = subprocess.run(command, cwd=Path(__file__).parent, capture_output=True, text=True, timeout=120)
    assert run.returncode == 1 and "KeyError: 'bug'" in run.stderr.replace('"', "")


@pytest.mark.gpu
def test_pinned_memory(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    (items,) = build_loader(Tiny(tmp_path), [[Draw(0, 0)]], num_workers=1, pin_memory=True)
    assert items[0].image.is_pinned()
