"""rotx.load and Predictor: images in, boxes in pixels of the file out, and one clear error for what is wrong."""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import rotx
from rotx import boxes, config, geometry
from rotx.annotations.formats import read_detections
from rotx.evaluation import evaluate
from rotx.images.draw import draw_boxes
from rotx.inference import Prediction, Predictor
from rotx.models import build_detector
from small import small_config

NAME = "rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota"
CLASSES = ("ship", "small-vehicle", "plane")
LOAD = {"type": "mmdet.LoadImageFromFile"}


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    """A config whose detector, untrained, finds thirty objects in any image."""
    model = small_config(NAME)
    model["test_cfg"] |= {"score_thr": 1e-4, "max_per_img": 30}
    return {"model": model}


@pytest.fixture(scope="module")
def folder(settings: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With ``model.py`` and ``v1.pth``, ``v0.pth``: checkpoints as MMRotate 1.x and 0.x write them."""
    torch.manual_seed(0)
    detector = build_detector(settings["model"])
    detector.init_weights()
    folder = tmp_path_factory.mktemp("inference")
    (folder / "model.py").write_text(config.dumps(settings))
    meta = {"epoch": 12, "dataset_meta": {"classes": CLASSES, "palette": [(1, 2, 3)] * 3}, "experiment_name": "x"}
    torch.save({"meta": meta, "state_dict": detector.state_dict(), "message_hub": {}}, folder / "v1.pth")
    torch.save({"meta": {"CLASSES": CLASSES}, "state_dict": detector.state_dict()}, folder / "v0.pth")
    torch.save({"state_dict": detector.state_dict()}, folder / "nameless.pth")
    return folder


@pytest.fixture(scope="module")
def predictor(folder: Path) -> Predictor:
    return rotx.load(folder / "model.py", folder / "v1.pth", device="cpu")


def picture(height: int = 96, width: int = 96, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def same(a: Prediction, b: Prediction) -> bool:
    return all(np.array_equal(getattr(a, key), getattr(b, key)) for key in ("rboxes", "scores", "labels", "classes"))


def with_loaders(folder: Path, settings: dict[str, Any], name: str, **loaders: Any) -> Path:
    (folder / name).write_text(config.dumps({**settings, **loaders}))
    return folder / name


# Predictions


def test_what_a_prediction_holds(predictor: Predictor) -> None:
    found = predictor.predict(picture())
    assert len(found) == 30 and found.name == "image0"
    assert found.rboxes.shape == (30, 5) and found.rboxes.dtype == found.scores.dtype == np.float64
    assert found.quads.shape == (30, 8) and found.labels.dtype == np.int64
    assert (np.diff(found.scores) <= 0).all()
    assert found.classes == tuple(CLASSES[label] for label in found.labels)
    angles = found.rboxes[:, 4]
    assert (
        (found.rboxes[:, 2] >= found.rboxes[:, 3]).all() and (angles >= -np.pi / 2).all() and (angles < np.pi / 2).all()
    )


def test_both_kinds_of_checkpoints(folder: Path, predictor: Predictor) -> None:
    older = rotx.load(folder / "model.py", folder / "v0.pth", device="cpu")
    assert older.classes == predictor.classes == CLASSES
    assert same(older.predict(picture()), predictor.predict(picture()))


def test_arrays_files_and_lists(predictor: Predictor, tmp_path: Path) -> None:
    pixels = picture()
    cv2.imwrite(str(tmp_path / "P0001.png"), pixels)
    array, (file, again, nothing) = (
        predictor.predict(pixels),
        predictor.predict([tmp_path / "P0001.png", str(tmp_path / "P0001.png"), pixels]),
    )
    assert [x.name for x in (array, file, again, nothing)] == ["image0", "P0001", "P0001", "image2"]
    assert same(array, file) and same(array, again) and same(array, nothing)
    assert predictor.predict([]) == []


def test_arrays_of_any_layout(predictor: Predictor) -> None:
    pixels = picture()
    turned = pixels[:, :, ::-1].copy()[:, :, ::-1]
    assert not turned.flags.c_contiguous
    assert same(predictor.predict(turned), predictor.predict(pixels))


def test_the_threshold(predictor: Predictor) -> None:
    every = predictor.predict(picture())
    score = float(every.scores[9])
    some = predictor.predict(picture(), score_thr=score)
    assert len(some) == int((every.scores > score).sum()) < 30
    assert same(some, every.above(score))
    assert len(every.above(1.0)) == 0 and every.above(1.0).quads.shape == (0, 8)


def test_boxes_are_in_pixels_of_the_file(predictor: Predictor) -> None:
    """Four pixels for each one, made small again, are the same image; what is found in it is twice as large."""
    pixels = picture(64, 96)
    double = np.kron(pixels, np.ones((2, 2, 1), np.uint8))
    plain = predictor.predict(pixels)
    fitting = Predictor(predictor.detector, CLASSES, scale=(96, 64)).predict(double)
    np.testing.assert_allclose(fitting.rboxes, plain.rboxes * [2, 2, 2, 2, 1], rtol=1e-6)
    np.testing.assert_array_equal(fitting.scores, plain.scores)


@pytest.mark.parametrize(
    ("size", "keep_ratio", "seen"),
    [
        ((133, 200), True, (64, 96)),
        ((200, 133), True, (96, 64)),
        ((30, 40), True, (72, 96)),
        ((50, 70), False, (80, 96)),
    ],
)
def test_the_size_that_the_detector_sees(
    predictor: Predictor, size: tuple[int, int], keep_ratio: bool, seen: tuple[int, int]
) -> None:
    pixels = picture(*size)
    found = Predictor(predictor.detector, CLASSES, scale=(96, 80), keep_ratio=keep_ratio).predict(pixels)
    small = predictor.predict(cv2.resize(pixels, seen[::-1], interpolation=cv2.INTER_LINEAR))
    factors = size[1] / seen[1], size[0] / seen[0]
    expected = boxes.rescale(torch.from_numpy(small.quads), factors).numpy()
    # A distorted rectangle is none: the least one around it. Its centre stays.
    centres = [quads.reshape(-1, 4, 2).mean(1) for quads in (found.quads, expected)]
    np.testing.assert_allclose(*centres, atol=1e-3)
    if keep_ratio:
        assert (geometry.box_iou_aligned(found.quads, expected) > 0.97).all()
    else:
        rectangles = geometry.quad_to_rbox(expected)
        assert (geometry.box_iou_aligned(found.rboxes, rectangles) > 1 - 1e-6).all()


def test_grayscale_and_16_bits(predictor: Predictor, tmp_path: Path) -> None:
    gray = picture()[:, :, 0]
    cv2.imwrite(str(tmp_path / "gray.png"), gray)
    cv2.imwrite(str(tmp_path / "deep.png"), gray.astype(np.uint16) * 257)
    expected = predictor.predict(np.repeat(gray[:, :, None], 3, axis=2))
    assert same(predictor.predict(tmp_path / "gray.png"), expected)
    assert same(predictor.predict(tmp_path / "deep.png"), expected)


# Images that are none


@pytest.mark.parametrize("content", [b"", b"GIF89a", b"\x89PNG\r\n\x1a\n" + b"\0" * 40, b"some text"])
def test_a_file_that_holds_no_image(predictor: Predictor, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.png").write_bytes(content)
    with pytest.raises(ValueError, match=r"x\.png: (holds no image that OpenCV can read|is empty)"):
        predictor.predict([picture(), tmp_path / "x.png"])


def test_an_image_that_is_too_large_for_opencv(predictor: Predictor, tmp_path: Path) -> None:
    (tmp_path / "x.pgm").write_bytes(b"P5 1000000 1000000 255\n" + bytes(100))
    with pytest.raises(ValueError, match=r"x\.pgm: "):
        predictor.predict(tmp_path / "x.pgm")


def test_no_file(predictor: Predictor, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"no such image: .*absent\.png"):
        predictor.predict(tmp_path / "absent.png")
    with pytest.raises(IsADirectoryError, match="give its images as a list"):
        predictor.predict(tmp_path)


@pytest.mark.parametrize(
    ("image", "got"),
    [
        (picture().astype(np.float32), "(96, 96, 3) float32"),
        (picture()[:, :, 0], "(96, 96) uint8"),
        (picture().transpose(2, 0, 1), "(3, 96, 96) uint8"),
        (picture()[None], "(1, 96, 96, 3) uint8"),
        (picture()[:0], "(0, 96, 3) uint8"),
        (None, "() object"),
    ],
)
def test_arrays_that_are_no_image(predictor: Predictor, image: Any, got: str) -> None:
    message = re.escape(f"image1: need (H, W, 3) uint8, BGR, got {got}")
    with pytest.raises(ValueError, match=message):
        predictor.predict([picture(), image])


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "P"])
def test_images_of_pil_are_rgb(mode: str, predictor: Predictor) -> None:
    image = pytest.importorskip("PIL.Image").fromarray(picture()[:, :, ::-1]).convert(mode)
    assert same(predictor.predict(image), predictor.predict(np.asarray(image.convert("RGB"))[:, :, ::-1]))


def test_images_whose_channels_are_unknown(predictor: Predictor) -> None:
    image = pytest.importorskip("PIL.Image").new("CMYK", (32, 32))
    with pytest.raises(ValueError, match="image0: a PIL image of mode 'CMYK': convert it to RGB"):
        predictor.predict([image])
    for tensor in (torch.zeros(32, 32, 3, dtype=torch.uint8), torch.zeros(3, 32, 32)):
        with pytest.raises(ValueError, match="image0: a tensor has no fixed order of channels"):
            predictor.predict([tensor])


@pytest.mark.parametrize("batch_size", [2, 5])
def test_results_do_not_depend_on_the_batch(batch_size: int, predictor: Predictor) -> None:
    sizes = [(96, 96), (64, 128), (96, 96), (130, 70), (64, 128), (33, 97), (96, 96)]
    images = [picture(height, width, seed) for seed, (height, width) in enumerate(sizes)]
    alone, together = predictor.predict(images), predictor.predict(images, batch_size=batch_size)
    for one, other in zip(alone, together, strict=True):
        assert len(one) == len(other) > 0
        np.testing.assert_allclose(one.scores, other.scores, atol=1e-6)
        np.testing.assert_allclose(one.rboxes, other.rboxes, atol=1e-3)


@pytest.mark.parametrize("threshold", [0, np.float32(0.25), np.int64(0), torch.tensor(0.25), np.array(0.25)])
def test_thresholds_of_any_number(threshold: Any, predictor: Predictor) -> None:
    assert same(predictor.predict(picture(), threshold), predictor.predict(picture(), float(threshold)))


@pytest.mark.parametrize("threshold", [True, "0.3", None, math.nan, -0.1, 1.5, [0.3, 0.4], np.bool_(True)])
def test_thresholds_that_are_none(threshold: Any, predictor: Predictor, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), picture())
    for use in (
        lambda: predictor.predict(picture(), threshold),
        lambda: predictor.draw(picture(), predictor.predict(picture()), threshold),
        lambda: predictor.predict_large(tmp_path / "a.png", score_thr=threshold),
    ):
        with pytest.raises(ValueError, match=r"score_thr: need a number in \[0, 1\]"):
            use()


def test_a_detector_in_training_mode_predicts_as_before(folder: Path) -> None:
    predictor = rotx.load(folder / "model.py", folder / "v1.pth", "cpu")
    before = predictor.predict(picture())
    predictor.detector.train()
    assert same(predictor.predict(picture()), before) and predictor.to("cpu") is predictor
    with pytest.raises(ValueError, match="device: "):
        predictor.to("meta")


# Drawing and writing


def some_objects(name: str = "P1") -> Prediction:
    rboxes = np.array([[40.0, 40.0, 50.0, 20.0, 0.0], [130.0, 90.0, 40.0, 30.0, 0.7]])
    return Prediction(name, rboxes, np.array([0.9, 0.31]), np.array([0, 2]), ("ship", "plane"))


def test_draw(predictor: Predictor) -> None:
    pixels = np.full((150, 200, 3), 128, np.uint8)
    before = pixels.copy()
    drawn = predictor.draw(pixels, some_objects(), score_thr=0.5)
    np.testing.assert_array_equal(pixels, before)
    changed = (drawn != before).any(2)
    assert changed[30, 16:65].all() and changed[50, 16:65].all() and changed[31:50, 15].all()  # the outline
    assert not changed[45:49, 20:60].any()  # not what is inside it
    assert not changed[:, 100:].any()  # not the one that scores too little
    assert (predictor.draw(pixels, some_objects(), score_thr=0.3) != before).any(2)[:, 100:].any()
    np.testing.assert_array_equal(predictor.draw(pixels, some_objects(), score_thr=0.9), before)


def test_draw_far_right_in_a_wide_image() -> None:
    drawn = draw_boxes(np.zeros((40, 20_000, 3), np.uint8), np.array([[19_000.0, 20, 500, 20, 0]]), np.array([0]))
    columns = drawn.any(axis=(0, 2)).nonzero()[0]
    assert abs(columns[0] - 18_750) < 30 and abs(columns[-1] - 19_250) < 30


def test_draw_boxes_of_any_size() -> None:
    rboxes = np.array([[1e9, -1e9, 1e12, 1e-9, 0.3], [10, 10, 0, 0, 0]])
    drawn = draw_boxes(np.zeros((30, 30, 3), np.uint8), rboxes, np.array([1, 2]), ["far", "x" * 100])
    assert drawn.shape == (30, 30, 3)
    with pytest.raises(ValueError, match="need a label and a caption for each box, got 1 and 0 for 2"):
        draw_boxes(np.zeros((30, 30, 3), np.uint8), rboxes, np.array([1]))


def test_dota_files_score_1_against_themselves(predictor: Predictor, tmp_path: Path) -> None:
    found = [replace(predictor.predict(picture(seed=seed)), name=f"P{seed}") for seed in range(3)]
    sound = [replace(x, labels=np.arange(len(x)) % 3) for x in found]
    sound = [replace(x, classes=tuple(CLASSES[label] for label in x.labels)) for x in sound]
    predictor.to_dota(sound, tmp_path / "a" / "b")
    assert sorted(p.name for p in (tmp_path / "a/b").iterdir()) == sorted(f"Task1_{name}.txt" for name in CLASSES)
    (tmp_path / "labels").mkdir()
    for x in sound:
        rows = [
            " ".join(f"{v:.2f}" for v in quad) + f" {name} 0" for quad, name in zip(x.quads, x.classes, strict=True)
        ]
        (tmp_path / "labels" / f"{x.name}.txt").write_text("\n".join(rows) + "\n")
    result = evaluate(tmp_path / "labels", tmp_path / "a" / "b", protocol="voc12")
    assert result.map == 1.0 and int(result.gts.sum()) == int(result.dets.sum()) == sum(map(len, sound))


def test_dota_files_tell_near_scores_apart(predictor: Predictor, tmp_path: Path) -> None:
    near = np.array([np.float32(0.5), np.nextafter(np.float32(0.5), np.float32(0))], np.float64)
    tiny = np.array([3.25e-7, 1e-12])
    predictor.to_dota([replace(some_objects("a"), scores=near), replace(some_objects("b"), scores=tiny)], tmp_path)
    scores = read_detections(tmp_path).scores
    assert len(set(scores)) == 4
    np.testing.assert_allclose(sorted(scores), sorted([*near, *tiny]), rtol=1e-8)


def test_a_class_that_was_not_found_has_a_file(predictor: Predictor, tmp_path: Path) -> None:
    predictor.to_dota(some_objects(), tmp_path)
    assert (tmp_path / "Task1_small-vehicle.txt").read_text() == ""
    assert (tmp_path / "Task1_ship.txt").read_text() == "P1 0.9 15 30 65 30 65 50 15 50\n"
    predictor.to_dota([], tmp_path)
    assert (tmp_path / "Task1_ship.txt").read_text() == ""


@pytest.mark.parametrize("names", [["my image"], ["P1", "P1"], [""]])
def test_names_that_dota_files_cannot_hold(predictor: Predictor, tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(ValueError, match=f"image '{names[0]}': .*name") as caught:
        predictor.to_dota([some_objects(name) for name in names], tmp_path)
    assert "\n" not in str(caught.value) and not list(tmp_path.iterdir())


def test_class_names_that_are_no_files(predictor: Predictor, tmp_path: Path) -> None:
    other = Predictor(predictor.detector, ("ship", "truck w/flatbed", "plane"))
    with pytest.raises(ValueError, match="class 'truck w/flatbed': cannot be a file name"):
        other.to_dota(some_objects(), tmp_path)
    assert not list(tmp_path.iterdir())


def test_json(predictor: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "found.json"
    text = predictor.to_json([some_objects("a"), some_objects("b").above(1)], file)
    first, second = json.loads(file.read_text())
    assert json.loads(text) == [first, second]
    assert (first["image"], len(first["objects"]), second) == ("a", 2, {"image": "b", "objects": []})
    assert first["objects"][0] | {"quad": None} == {
        "class": "ship", "label": 0, "score": 0.9, "rbox": [40.0, 40.0, 50.0, 20.0, 0.0], "quad": None
    }  # fmt: skip
    np.testing.assert_array_equal(first["objects"][1]["quad"], some_objects().quads[1])
    assert json.loads(predictor.to_json(some_objects()))[0]["image"] == "P1"

    # A disk that fills up leaves the file as it was.
    before = file.read_text()
    monkeypatch.setattr(Path, "replace", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        predictor.to_json(some_objects("c"), file)
    assert file.read_text() == before and list(tmp_path.iterdir()) == [file]


# Configs and checkpoints that do not belong together


def test_a_checkpoint_of_another_model(folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    torch.save({"state_dict": {"encoder.weight": torch.zeros(3)}}, tmp_path / "other.pth")
    with pytest.raises(
        ValueError, match=r"model\.py: .*other\.pth: none of its weights fits the model: it holds enc"
    ) as e:
        rotx.load(folder / "model.py", tmp_path / "other.pth")
    assert "\n" not in str(e.value) and e.value.__suppress_context__

    weights = torch.load(folder / "nameless.pth")["state_dict"]
    del weights["bbox_head.retina_reg.bias"]
    torch.save(weights, tmp_path / "less.pth")
    with pytest.raises(
        ValueError, match=r"model\.py: the checkpoint does not match the config: .*less\.pth: .*, 1 missing"
    ):
        rotx.load(folder / "model.py", tmp_path / "less.pth")

    more_classes = {"model": small_config(NAME, num_classes=4)}
    file = with_loaders(tmp_path, more_classes, "four.py")
    with pytest.raises(
        ValueError, match=r"four\.py: the checkpoint does not match the config: .*v1\.pth: .*, 2 mismatched"
    ):
        rotx.load(file, folder / "v1.pth")


def test_a_checkpoint_that_holds_more(folder: Path, tmp_path: Path) -> None:
    weights = torch.load(folder / "nameless.pth")["state_dict"]
    torch.save({**weights, "teacher.weight": torch.zeros(2)}, tmp_path / "more.pth")
    with pytest.warns(UserWarning, match="teacher.weight"):
        rotx.load(folder / "model.py", tmp_path / "more.pth")


def test_files_that_are_not_there_or_damaged(folder: Path, tmp_path: Path) -> None:
    with pytest.raises((OSError, ValueError), match=r"absent\.py"):
        rotx.load(tmp_path / "absent.py", folder / "v1.pth")
    with pytest.raises(FileNotFoundError, match=r"absent\.pth"):
        rotx.load(folder / "model.py", tmp_path / "absent.pth")
    (tmp_path / "damaged.pth").write_bytes((folder / "v1.pth").read_bytes()[:5000])
    with pytest.raises(ValueError, match=r"model\.py: cannot load weights: .*damaged\.pth"):
        rotx.load(folder / "model.py", tmp_path / "damaged.pth")


def test_configs_without_a_model_or_with_a_wrong_one(folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    for name, content, message in [
        ("empty.py", {"x": 1}, r"empty\.py: has no model"),
        ("number.py", {"model": 3}, r"number\.py: has no model"),
        ("typo.py", {"model": {**settings["model"], "type": "RetinaNett"}}, r"typo\.py: .*mean 'RetinaNet'"),
    ]:
        (tmp_path / name).write_text(config.dumps(content))
        with pytest.raises(ValueError, match=message):
            rotx.load(tmp_path / name, folder / "v1.pth")


def loader(**dataset: Any) -> dict[str, Any]:
    return {"batch_size": 1, "dataset": dataset}


@pytest.mark.parametrize(
    ("loaders", "expected"),
    [
        ({}, ("0", "1", "2")),
        ({"test_dataloader": loader(metainfo={"classes": ("a", "b", "c")})}, ("a", "b", "c")),
        ({"train_dataloader": {"dataset": loader(metainfo={"classes": ["a", "b", "c"]})}}, ("a", "b", "c")),
        # HRSC has one class, so these are of the other one.
        (
            {
                "test_dataloader": loader(type="mmrotate.HRSCDataset"),
                "train_dataloader": loader(metainfo={"classes": ("a", "b", "c")}),
            },
            ("a", "b", "c"),
        ),
        ({"test_dataloader": 3, "val_dataloader": {"dataset": [1]}, "train_dataloader": None}, ("0", "1", "2")),
    ],
)
def test_names_of_classes(
    folder: Path, tmp_path: Path, settings: dict[str, Any], loaders: dict[str, Any], expected: tuple[str, ...]
) -> None:
    file = with_loaders(tmp_path, settings, "names.py", **loaders)
    assert rotx.load(file, folder / "nameless.pth", device="cpu").classes == expected
    assert rotx.load(file, folder / "v1.pth", device="cpu").classes == CLASSES  # the checkpoint's go first


@pytest.mark.parametrize(
    ("kind", "count"), [("DOTADataset", 15), ("DOTAv15Dataset", 16), ("DOTAv2Dataset", 18), ("HRSCDataset", 1)]
)
def test_classes_of_the_kind_of_dataset(folder: Path, tmp_path: Path, kind: str, count: int) -> None:
    settings = {"model": small_config(NAME, num_classes=count), "test_dataloader": loader(type=kind)}
    file = with_loaders(tmp_path, settings, "kind.py")
    torch.save(build_detector(settings["model"]).state_dict(), tmp_path / "w.pth")
    names = rotx.load(file, tmp_path / "w.pth", device="cpu").classes
    assert (
        len(names) == count and names[-1] == {15: "helicopter", 16: "container-crane", 18: "helipad", 1: "ship"}[count]
    )


def test_another_number_of_classes(
    folder: Path, tmp_path: Path, settings: dict[str, Any], predictor: Predictor
) -> None:
    file = with_loaders(tmp_path, settings, "two.py", test_dataloader=loader(metainfo={"classes": ("a", "b")}))
    message = r"two\.py: the model has 3 classes, but test_dataloader names 2"
    with pytest.raises(ValueError, match=message):
        rotx.load(file, folder / "nameless.pth")
    with pytest.raises(ValueError, match="classes: the detector has 3, got 2 names"):
        Predictor(predictor.detector, ("a", "b"))


def test_the_size_is_the_configs(folder: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    def load(*steps: Any) -> Predictor:
        file = with_loaders(tmp_path, settings, "sized.py", test_dataloader=loader(pipeline=[LOAD, *steps]))
        return rotx.load(file, folder / "v1.pth", device="cpu")

    kept = load({"type": "mmdet.Resize", "scale": (96, 80), "keep_ratio": True})
    assert (kept.scale, kept.keep_ratio) == ((96, 80), True)
    stretched = load({"type": "Resize", "scale": 64})
    assert (stretched.scale, stretched.keep_ratio) == ((64, 64), False)
    assert load().scale is None
    for wrong in ((96,), "96", (96, 80.5), (0, 5), [(1, 2), (3, 4)]):
        with pytest.raises(
            ValueError, match=r"sized\.py: test_dataloader\.dataset\.pipeline\.1 \(Resize\): scale: need"
        ):
            load({"type": "Resize", "scale": wrong})


def test_options(folder: Path) -> None:
    some = rotx.load(folder / "model.py", folder / "v1.pth", "cpu", options=["model.test_cfg.max_per_img=5"])
    assert len(some.predict(picture())) == 5


@pytest.mark.parametrize(
    ("device", "message"),
    [("gpu", "device: need 'auto', 'cpu'"), ("cuda:99", r"torch sees \d+ CUDA devices, so there is no 'cuda:99'")],
)
def test_no_such_device(folder: Path, device: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rotx.load(folder / "model.py", folder / "v1.pth", device)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda(folder: Path, predictor: Predictor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ops without a CUDA kernel say that they run on the CPU
        found = rotx.load(folder / "model.py", folder / "v1.pth", "cuda").predict(picture())
    np.testing.assert_allclose(found.scores, predictor.predict(picture()).scores, rtol=1e-2)


# Code of the user's


def test_custom_imports_need_trust(
    folder: Path, tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "rotx_test_side_effect.py").write_text("from pathlib import Path\nPath(__file__ + '.ran').touch()\n")
    file = with_loaders(tmp_path, settings, "custom.py", custom_imports={"imports": ["rotx_test_side_effect"]})
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match=r"custom\.py: custom_imports: the config wants to run rotx_test_side_effect"):
        rotx.load(file, folder / "v1.pth", "cpu")
    assert not (tmp_path / "rotx_test_side_effect.py.ran").exists()
    rotx.load(file, folder / "v1.pth", "cpu", trust_config=True)
    assert (tmp_path / "rotx_test_side_effect.py.ran").exists()


def test_plugins(folder: Path, tmp_path: Path, settings: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    text = "from rotx import register\nfrom rotx.models.heads.retina import RetinaHead\n"
    text += "@register\nclass RotxTestHead(RetinaHead):\n    pass\n"
    (tmp_path / "rotx_test_head.py").write_text(text)
    model = settings["model"]
    changed = {"model": {**model, "bbox_head": {**model["bbox_head"], "type": "RotxTestHead"}}}
    file = with_loaders(tmp_path, changed, "plugin.py")
    importlib.invalidate_caches()
    with pytest.raises(ValueError, match=r"plugin\.py: model\.bbox_head: unknown type 'RotxTestHead'"):
        rotx.load(file, folder / "v1.pth", "cpu")
    loaded = rotx.load(file, folder / "v1.pth", "cpu", plugins=["rotx_test_head"])
    assert type(loaded.detector.bbox_head) is sys.modules["rotx_test_head"].RotxTestHead
    with pytest.raises(ImportError, match="plugin 'rotx_absent': no such module"):
        rotx.load(file, folder / "v1.pth", "cpu", plugins=["rotx_absent"])
