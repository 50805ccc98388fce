"""`rotx-eval model`: a config, a checkpoint and images in; tables, Task1 files and one clear line for what is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import shapely
import torch
from click.testing import CliRunner, Result

import rotx
from bright import bright_config, bright_detector, picture
from rotx import config, geometry
from rotx.annotations.formats import read_detections
from rotx.cli.eval import main
from rotx.models import build_detector
from small import small_config

CLASSES = ("ship", "plane", "tank")
PATCH, STEP = 96, 48
Write = Callable[..., Path]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["model", *map(str, arguments)])


def evaluate(*arguments: object) -> Result:
    """With the detector of bright rectangles, a plug-in."""
    result = run(*arguments, "--plugin", "bright")
    assert result.exit_code == 0, result.output
    return result


def labels_of(quads: np.ndarray, labels: np.ndarray, difficult: np.ndarray) -> str:
    rows = zip(quads.round(2).tolist(), labels, difficult, strict=True)
    return "".join(f"{' '.join(map(str, quad))} {CLASSES[label]} {mark}\n" for quad, label, mark in rows)


def make_images(folder: Path) -> None:
    """Two whole images, and the patches that a splitter makes of them, whose names hold two underscores."""
    rng = np.random.default_rng(0)
    for name in ("whole/images", "whole/labelTxt", "patches/images", "patches/labelTxt"):
        (folder / name).mkdir(parents=True)
    for name, (height, width) in {"P1": (144, 192), "P2__x": (96, 144)}.items():
        centres = np.array(list(product(range(24, width, 48), range(24, height, 48))), float)
        rboxes = np.column_stack([centres, np.full((len(centres), 1), 28), np.full((len(centres), 1), 14)])
        rboxes = np.column_stack([rboxes, rng.uniform(-0.5, 0.5, len(centres))])
        labels, difficult = rng.integers(0, 3, len(centres)), rng.integers(0, 4, len(centres)) // 3
        quads, pixels = geometry.rbox_to_quad(rboxes), picture((height, width), rboxes, labels)
        cv2.imwrite(str(folder / f"whole/images/{name}.png"), pixels)
        (folder / f"whole/labelTxt/{name}.txt").write_text(labels_of(quads, labels, difficult))
        for x, y in product(range(0, width - PATCH + 1, STEP), range(0, height - PATCH + 1, STEP)):
            patch, window = f"{name}__{PATCH}__{x}___{y}", shapely.box(x, y, x + PATCH, y + PATCH)
            cv2.imwrite(str(folder / f"patches/images/{patch}.png"), pixels[y : y + PATCH, x : x + PATCH])
            inside = np.array([shapely.Polygon(q.reshape(4, 2)).intersection(window).area for q in quads]) / (28 * 14)
            keep = inside > 0.7
            text = labels_of(
                quads[keep] - np.tile([x, y], 4), labels[keep], np.where(inside < 0.999, 2, difficult)[keep]
            )
            (folder / f"patches/labelTxt/{patch}.txt").write_text(text)


def loader(root: Path, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
    pipeline = [{"type": "LoadImageFromFile"}, *steps, {"type": "PackDetInputs"}]
    dataset = {"type": "DOTADataset", "data_root": str(root), "ann_file": "labelTxt", "test_mode": True}
    dataset |= {"data_prefix": {"img_path": "images"}, "metainfo": {"classes": CLASSES}, "pipeline": pipeline}
    return {"batch_size": 2, "num_workers": 0, "dataset": {**dataset, **more}}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the images, and weights of the detector of bright rectangles."""
    folder = tmp_path_factory.mktemp("data")
    make_images(folder)
    meta = {"dataset_meta": {"classes": CLASSES}}
    torch.save({"meta": meta, "state_dict": bright_detector().state_dict()}, folder / "bright.pth")
    return folder


@pytest.fixture
def write(tmp_path: Path, data: Path) -> Write:
    """Writes a config of the detector of bright rectangles, for patches unless told otherwise."""

    def written(name: str = "config.py", **changes: Any) -> Path:
        settings = {
            "model": bright_config(),
            "test_dataloader": loader(data / "patches"),
            "test_evaluator": {"type": "DOTAMetric", "protocol": "voc12"},
        }
        kept = {key: value for key, value in {**settings, **changes}.items() if value is not None}
        (tmp_path / name).write_text(config.dumps(kept))
        return tmp_path / name

    return written


def test_whole_images(write: Write, data: Path, tmp_path: Path) -> None:
    file = write(test_dataloader=loader(data / "whole"))
    out = tmp_path / "out"
    result = evaluate(
        file, data / "bright.pth", "--out", out, "--json", tmp_path / "s.json", "--csv", tmp_path / "s.csv", "--ci",
        "--per-image", tmp_path / "v.csv", "--report", tmp_path / "report", "--explain", "coco",
    )  # fmt: skip
    for text in ("| ship ", "| mAP ", "95 % interval", "(coco)", "Task1.zip", "index.html"):
        assert text in result.stdout
    assert "whole images" not in result.stdout
    record = json.loads((tmp_path / "s.json").read_text())
    assert record["protocol"] == "voc12" and record["map"] == 1 and list(record["classes"]) == list(CLASSES)
    assert all((tmp_path / name).stat().st_size for name in ("s.csv", "v.csv", "report/index.html"))

    names = sorted(f"Task1_{name}.txt" for name in CLASSES)
    assert sorted(p.name for p in out.iterdir()) == ["Task1.zip", *names]
    with zipfile.ZipFile(out / "Task1.zip") as archive:
        assert sorted(archive.namelist()) == names
        assert all(archive.read(name) == (out / name).read_bytes() for name in names)
    # What is written scores the same.
    again = CliRunner().invoke(
        main, ["score", str(data / "whole/labelTxt"), str(out), "--protocol", "voc12", "--classes", ",".join(CLASSES),
               "--json", str(tmp_path / "again.json")],
    )  # fmt: skip
    assert again.exit_code == 0, again.output
    assert json.loads((tmp_path / "again.json").read_text()) == record


def test_pictures_show_objects_and_detections(write: Write, data: Path, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    evaluate(write(test_dataloader=loader(data / "whole")), data / "bright.pth", "--show-dir", shown)
    assert sorted(p.name for p in shown.iterdir()) == ["P1.jpg", "P2__x.jpg"]
    changed = cv2.absdiff(cv2.imread(str(shown / "P1.jpg")), cv2.imread(str(data / "whole/images/P1.png"))).max(2) > 60
    annotations = (data / "whole/labelTxt/P1.txt").read_text().splitlines()
    for line in annotations:
        outline = np.zeros(changed.shape, np.uint8)
        corners = np.array([float(value) for value in line.split()[:8]]).reshape(1, 4, 2).round().astype(int)
        cv2.polylines(outline, list(corners.astype(np.int32)), True, 1, 1)
        assert changed[outline > 0].mean() > 0.5  # captions of neighbours hide little of it
    assert 0 < changed.mean() < 0.5


def test_patches_are_merged(write: Write, data: Path, tmp_path: Path) -> None:
    """Difficult objects are ignored, so that only detections of cut objects could be false; they go in merging."""
    out, whole = tmp_path / "out", data / "whole/labelTxt"
    results = [
        evaluate(write(), data / "bright.pth", "--merge", "--out", out, "--json", tmp_path / "own.json"),
        evaluate(write(), data / "bright.pth", "--merge", "--whole", whole, "--json", tmp_path / "whole.json"),
    ]
    own, given = (json.loads((tmp_path / name).read_text()) for name in ("own.json", "whole.json"))
    assert own == given and own["map"] == 1
    truth = rotx.evaluation.evaluate(whole, out / "merged", "voc12", classes=CLASSES)
    assert {name: c["gts"] for name, c in own["classes"].items()} == dict(zip(CLASSES, truth.gts, strict=True))
    assert truth.map == 1
    for result in results:
        assert result.stdout.count("| mAP ") == 2
        assert "mAP 1.0000 on 8 patches, 1.0000 on 2 whole images" in result.stdout
        assert "note: 8 patches named as MMRotate does" in result.stderr
    assert " are 18 on 2 images: boxes of a class" in results[0].stderr
    assert "boxes of a class" not in results[1].stderr

    found, merged = read_detections(out), read_detections(out / "merged")
    assert set(merged.images) == {"P1", "P2__x"} and all("__96__" in name for name in found.images)
    assert 18 <= len(merged.scores) < len(found.scores)
    with zipfile.ZipFile(out / "merged/Task1.zip") as archive:
        assert sorted(archive.namelist()) == sorted(f"Task1_{name}.txt" for name in CLASSES)


def test_the_annotations_may_be_of_the_whole_images_alone(write: Write, data: Path, tmp_path: Path) -> None:
    """As with DOTA's test images, whose patches have none."""
    whole, patches = data / "whole/labelTxt", loader(data / "patches", ann_file="")
    (tmp_path / "labels").mkdir()
    for name in ("P1", "P2__x"):
        (tmp_path / f"labels/{name}.txt").write_text((whole / f"{name}.txt").read_text())
    (tmp_path / "labels/P3.txt").write_text("1 1 9 1 9 9 1 9 ship 0\n")
    result = evaluate(
        write(test_dataloader=patches), data / "bright.pth", "--merge", "--whole", tmp_path / "labels",
        "--json", tmp_path / "s.json",
    )  # fmt: skip
    assert json.loads((tmp_path / "s.json").read_text())["map"] == 1
    assert result.stdout.count("| mAP ") == 1
    assert "1 of 3 images have no patches: they and their 1 objects are left out" in result.stderr


def test_windows_that_were_never_written(write: Write, data: Path, tmp_path: Path) -> None:
    """As with patches in files, and the annotations of the whole images need not be given."""
    plain = loader(data / "whole")
    pipeline = plain["dataset"].pop("pipeline")
    tiled = {
        "type": "TiledDataset",
        "dataset": plain["dataset"],
        "sizes": [PATCH],
        "gaps": [STEP],
        "pipeline": pipeline,
    }
    file = write(test_dataloader={**plain, "dataset": tiled})
    results, whole = {}, ["--whole", data / "whole/labelTxt"]
    for name, config_file, options in (
        ("windows", file, []),
        ("given", file, whole),
        ("patches", write("p.py"), whole),
    ):
        out = ["--out", tmp_path / name, "--json", tmp_path / f"{name}.json", "--show-dir", tmp_path / f"{name}.shown"]
        results[name] = evaluate(config_file, data / "bright.pth", "--merge", *out, *options)
        assert "mAP 1.0000 on 8 patches, 1.0000 on 2 whole images" in results[name].stdout
        assert "boxes of a class" not in results[name].stderr
    assert "2 images make 8 windows; 0 of 18 objects are in no window" in results["windows"].stderr
    for name in ("windows", "given"):
        assert (tmp_path / f"{name}.json").read_text() == (tmp_path / "patches.json").read_text()
        for kind in (name, f"{name}.shown"):
            theirs = tmp_path / kind.replace(name, "patches")
            files = [path.relative_to(theirs) for path in theirs.rglob("*") if path.suffix in (".txt", ".jpg")]
            assert len(files) in (6, 8)
            assert all((tmp_path / kind / f).read_bytes() == (theirs / f).read_bytes() for f in files)
    # Objects that no window holds whole are missed and not forgotten: the whole image knows them.
    tiled |= {"sizes": [64], "gaps": [0], "iof_thr": 1.0}
    result = evaluate(
        write(test_dataloader={**plain, "dataset": tiled}), data / "bright.pth", "--merge", "--json", tmp_path / "s"
    )
    counts = json.loads((tmp_path / "s").read_text())["classes"]
    patches = json.loads((tmp_path / "patches.json").read_text())["classes"]
    assert {name: c["gts"] for name, c in counts.items()} == {name: c["gts"] for name, c in patches.items()}
    assert "of 18 objects are in no window" in result.stderr


def test_an_evaluator_that_only_writes(write: Write, data: Path, tmp_path: Path) -> None:
    """MMRotate's keys for a submission."""
    evaluator = {
        "type": "DOTAMetric",
        "format_only": True,
        "merge_patches": True,
        "outfile_prefix": str(tmp_path / "T"),
    }
    result = evaluate(write(test_evaluator=evaluator), data / "bright.pth")
    assert "| mAP " not in result.stdout
    assert (tmp_path / "T/Task1.zip").is_file() and (tmp_path / "T/merged/Task1.zip").is_file()


def test_the_config_decides_what_the_command_line_does_not(write: Write, data: Path, tmp_path: Path) -> None:
    file = write(
        test_dataloader=None, val_dataloader=loader(data / "whole"), test_evaluator=None,
        val_evaluator={"type": "RotatedCocoMetric"},
    )  # fmt: skip
    out = tmp_path / "s.json"
    result = evaluate(file, data / "bright.pth", "--json", out)
    assert json.loads(out.read_text())[0]["protocol"] == "coco" and "| medium " in result.stdout
    evaluate(file, data / "bright.pth", "--json", out, "--protocol", "mmrotate", "--batch-size", 1, "--workers", 1)
    assert json.loads(out.read_text())["protocol"] == "mmrotate"
    evaluate(
        file, data / "bright.pth", "--json", out, "--cfg-options", "+val_evaluator.iou_thrs=0.6",
        "val_dataloader.batch_size=1",
    )  # fmt: skip
    assert json.loads(out.read_text())["iou"] == 0.6


def test_thresholds_and_views(write: Write, data: Path, tmp_path: Path) -> None:
    """A detector of lying objects finds those of the turned images in turned views only."""
    for name in ("images", "labelTxt"):
        (tmp_path / name).mkdir()
    pixels = cv2.imread(str(data / "whole/images/P1.png"))
    cv2.imwrite(str(tmp_path / "images/P1.png"), cv2.rotate(pixels, cv2.ROTATE_90_CLOCKWISE))
    lines = [line.split() for line in (data / "whole/labelTxt/P1.txt").read_text().splitlines()]
    turned = [
        " ".join(str(v) for x, y in zip(line[0:8:2], line[1:8:2], strict=True) for v in (144 - float(y), x))
        + f" {line[8]} 0"
        for line in lines
    ]
    (tmp_path / "labelTxt/P1.txt").write_text("\n".join(turned))
    file = write(model=bright_config(lying=True), test_dataloader=loader(tmp_path))
    scores = {}
    for options in ([], ["--tta", "rotate"], ["--tta", "flip,rotate,scales"], ["--tta", "rotate", "--score-thr", 1]):
        evaluate(file, data / "bright.pth", "--json", tmp_path / "s.json", *options)
        scores[str(options)] = json.loads((tmp_path / "s.json").read_text())["map"]
    assert list(scores.values()) == [0, 1, 1, 0]


def test_an_image_that_cannot_be_read(write: Write, data: Path, tmp_path: Path) -> None:
    make_images(tmp_path)
    (tmp_path / "whole/images/P1.png").write_bytes(b"no image")
    file = write(test_dataloader=loader(tmp_path / "whole"))
    result = evaluate(file, data / "bright.pth", "--json", tmp_path / "s", "--show-dir", tmp_path / "shown")
    assert "pictures: 1 in" in result.stdout and [p.name for p in (tmp_path / "shown").iterdir()] == ["P2__x.jpg"]
    assert "note: 1 of 2 images could not be read; their objects count as missed; first: " in result.stderr
    assert json.loads((tmp_path / "s").read_text())["map"] < 0.7


@pytest.mark.slow
def test_torchrun_gives_the_same(write: Write, data: Path, tmp_path: Path) -> None:
    """Two processes take a share each; the files are those of one, to the byte."""
    file = write()
    (tmp_path / "run.py").write_text("from rotx.cli.eval import main\nmain()\n")
    arguments = ["model", str(file), str(data / "bright.pth"), "--plugin", "bright", "--merge", "--device", "cpu"]
    plain = CliRunner().invoke(main, [*arguments, "--out", str(tmp_path / "1"), "--json", str(tmp_path / "1.json")])
    launcher = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node=2", "--standalone", "run.py"]
    both = subprocess.run(
        [*launcher, *arguments, "--out", str(tmp_path / "2"), "--json", str(tmp_path / "2.json")],
        cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert both.returncode == 0, both.stderr
    assert both.stdout.replace(str(tmp_path / "2"), str(tmp_path / "1")) == plain.stdout
    files = [p.relative_to(tmp_path / "1") for p in (tmp_path / "1").rglob("*") if p.is_file()]
    assert len(files) == 8
    assert all((tmp_path / "1" / name).read_bytes() == (tmp_path / "2" / name).read_bytes() for name in files)
    assert (tmp_path / "1.json").read_text() == (tmp_path / "2.json").read_text()


@pytest.fixture(scope="module")
def real(data: Path) -> Path:
    """Weights of a small untrained Rotated RetinaNet in ``real.pth``, its config in ``real.py``."""
    torch.manual_seed(0)
    model = small_config("rotated_retinanet/rotated-retinanet-rbox-le90_r50_fpn_1x_dota")
    model["test_cfg"] |= {"score_thr": 1e-4, "max_per_img": 30}
    detector = build_detector(model)
    detector.init_weights()
    torch.save({"meta": {"dataset_meta": {"classes": CLASSES}}, "state_dict": detector.state_dict()}, data / "real.pth")
    resize = {"type": "Resize", "scale": (128, 128), "keep_ratio": True}
    settings = {"model": model, "test_dataloader": loader(data / "patches", resize)}
    (data / "real.py").write_text(config.dumps(settings))
    return data / "real.py"


def test_a_real_detector(real: Path, data: Path, tmp_path: Path) -> None:
    """What is written is what the predictor finds in the same files."""
    options = ["--device", "cpu", "--batch-size", 1, "--out", tmp_path]
    result = run(real, data / "real.pth", *options, "--merge", "--tta", "flip")
    assert result.exit_code == 0, result.output
    assert "on 2 whole images" in result.stdout
    assert run(real, data / "real.pth", *options).exit_code == 0
    found = read_detections(tmp_path, classes=CLASSES)
    predictor = rotx.load(real, data / "real.pth", device="cpu")
    for i, name in enumerate(found.images):
        prediction = predictor.predict(data / f"patches/images/{name}.png")
        rows = np.flatnonzero(found.image == i)
        rows = rows[np.argsort(-found.scores[rows], kind="stable")]
        assert len(rows) == len(prediction) == 30
        np.testing.assert_allclose(found.scores[rows], prediction.scores, rtol=1e-5)
        np.testing.assert_allclose(found.quads[rows], prediction.quads, atol=0.0101)


# What is wrong


def wrong(*arguments: object) -> str:
    """The one line that a mistake gives."""
    result = run(*arguments)
    assert result.exit_code == 2 and isinstance(result.exception, SystemExit), result.output
    errors = [line for line in result.stderr.splitlines() if not line.startswith("note: ")]
    assert len(errors) == 1 and errors[0].startswith("error: ") and not result.stdout, result.output
    return errors[0]


def test_wrong_options(write: Write, data: Path, tmp_path: Path) -> None:
    file, weights = write(), data / "bright.pth"
    whole = write("whole.py", test_dataloader=loader(data / "whole"))
    (tmp_path / "P1.txt").write_text("")
    for arguments, message in (
        ((whole, weights, "--merge"), "not made of patches: image 'P1'; need names of patches such as"),
        ((file, weights, "--whole", tmp_path), "--whole: needs --merge"),
        ((file, weights, "--merge", "--whole", tmp_path / "no"), "no: no such file"),
        ((file, weights, "--merge", "--whole", tmp_path / "P1.txt"), "P1.txt"),
        ((file, weights, "--tta", "flipp"), "tta: need flip, rotate, scales"),
        ((file, weights, "--protocol", "dota"), "unknown protocol 'dota'; did you mean"),
        ((file, weights, "--explain", "cocoo"), "unknown protocol 'cocoo'; did you mean 'coco'"),
        ((file, weights, "--json", tmp_path / "no/s.json"), "its folder does not exist"),
        ((file, weights, "--device", "gpu"), "device: need 'auto', 'cpu'"),
        ((file, weights, "extra"), "unexpected argument 'extra': give one CONFIG and one CHECKPOINT"),
        ((tmp_path / "no.py", weights), "no.py"),
        ((file, tmp_path / "no.pth"), "no.pth: no such file"),
    ):
        assert message in wrong(*arguments, "--plugin", "bright")


def test_wrong_configs(write: Write, data: Path) -> None:
    patches, weights = data / "patches", data / "bright.pth"
    for changes, message in (
        ({"model": None}, "has no model"),
        ({"test_dataloader": None}, "nothing to evaluate on: has neither test_dataloader nor val_dataloader"),
        ({"test_dataloader": {"batch_size": 1}}, "test_dataloader: needs dataset=dict(type=...)"),
        ({"test_dataloader": loader(patches, test_mode=False)}, "for evaluation set test_mode=True"),
        ({"test_dataloader": loader(data / "none")}, "none"),
        ({"test_dataloader": loader(patches, ann_file="labels")}, "labels"),
        ({"test_dataloader": loader(patches, typ="x")}, "takes no 'typ'"),
        ({"test_evaluator": {"type": "DOTAMetrik"}}, "test_evaluator: unknown type 'DOTAMetrik': did you mean"),
        ({"test_evaluator": {"type": "DOTAMetric", "iou_thresholds": 0.5}}, "takes no 'iou_thresholds': did you mean"),
        ({"test_dataloader": loader(patches, ann_file="")}, "no annotated objects to score against; give --out"),
        (
            {"test_dataloader": loader(patches, metainfo={"classes": ("plane", "ship", "tank")})},
            "test_dataloader.dataset: its 3 classes (plane, ship, tank) are not the 3 that the detector was trained "
            "for, (ship, plane, tank): set metainfo=dict(classes=...) there, in that order",
        ),
        (
            {"test_dataloader": loader(patches, metainfo={"classes": (*CLASSES, "car")})},
            "its 4 classes (ship, plane, tank, car) are not the 3 that",
        ),
    ):  # fmt: skip
        message_got = wrong(write(**changes), weights, "--plugin", "bright")
        assert message in message_got and "config.py" in message_got


def test_wrong_checkpoints(real: Path, write: Write, data: Path, tmp_path: Path) -> None:
    (tmp_path / "half.pth").write_bytes((data / "real.pth").read_bytes()[:100_000])
    assert "half.pth" in wrong(real, tmp_path / "half.pth")
    assert "bright.pth: none of its weights fits the model" in wrong(real, data / "bright.pth")
    (tmp_path / "text.pth").write_text("weights")
    assert "text.pth" in wrong(real, tmp_path / "text.pth")
    assert "did you mean 'BrightHead'" in wrong(
        write(model={**bright_config(), "bbox_head": {"type": "BrightHed"}}), data / "bright.pth", "--plugin", "bright"
    )


def test_what_cannot_be_written_is_said_before_the_work(
    write: Write, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rotx.evaluation.detect.detect", None)
    (tmp_path / "file").touch()
    for option in ("--out", "--show-dir"):
        assert "file: File exists" in wrong(
            write(), data / "bright.pth", "--plugin", "bright", option, tmp_path / "file"
        )
    for name in ("images", "labelTxt"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "images/P 1.png"), np.zeros((20, 20, 3), np.uint8))
    (tmp_path / "labelTxt/P 1.txt").write_text("1 1 9 1 9 9 1 9 ship 0\n")
    file = write(test_dataloader=loader(tmp_path))
    message = wrong(file, data / "bright.pth", "--plugin", "bright", "--out", tmp_path / "out")
    assert "image 'P 1': the name is empty or contains spaces" in message


def test_a_patch_of_an_image_without_annotations(write: Write, data: Path, tmp_path: Path) -> None:
    (tmp_path / "labels").mkdir()
    (tmp_path / "labels/P1.txt").write_text("1 1 9 1 9 9 1 9 ship 0\n")
    message = wrong(write(), data / "bright.pth", "--plugin", "bright", "--merge", "--whole", tmp_path / "labels")
    assert "labels: has no annotations of image 'P2__x', which has patches" in message
