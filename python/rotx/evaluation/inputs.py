"""Reading the annotations and results that ``rotx-eval score`` compares, in every format that rotx knows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from rotx.annotations.files import File, FormatError, clear_errors
from rotx.annotations.formats import read_annotations, read_detections, read_names
from rotx.annotations.json_files import DamagedEntry, entries, entry, load_json, number, points, short
from rotx.annotations.sniff import nearest
from rotx.boxes import convert
from rotx.records import InstanceTable

_PICKLES = (".pkl", ".pickle")


def read_truth(
    path: Path,
    *,
    classes: Sequence[str] | None,
    images: str | Path | None,
    lenient: bool,
    jobs: int | None,
) -> InstanceTable:
    """Reads annotations; for the arguments see `rotx.annotations.formats.read_annotations`."""
    if not _may_be_of_a_tool(path):
        return read_annotations(path, classes=classes, images=images, lenient=lenient, jobs=jobs)
    from rotx.annotations.convert import read  # imports OpenCV, which DOTA's files do not need
    from rotx.annotations.convert.recognize import recognize

    if recognize(path) is None:
        return read_annotations(path, classes=classes, images=images, lenient=lenient, jobs=jobs)
    table = read(path, lenient=lenient, jobs=jobs)
    table.notices += [f"{path}: {lost}" for lost in table.lost if "minimum-area" in lost]
    if table.ignored is not None:
        # Crowds and ignored objects count neither as found nor as missed, as difficult ones.
        table.difficult = np.maximum(table.difficult, np.asarray(table.ignored, np.uint8))
    if images is not None:
        _keep_listed(table, images, path)
    if classes is not None:
        before = table.classes
        dropped = table.keep_classes(classes)
        table.other_classes = {name: dropped.get(name, 0) for name in before if name not in classes}
        if dropped:
            counts = ", ".join(f"{name} {count:,}" for name, count in dropped.items())
            table.notices.append(f"{path}: objects of other classes left out: {counts}")
    return table


def _may_be_of_a_tool(path: Path) -> bool:
    """Whether a path may hold JSON, CVAT's XML or YOLO's labels, by names alone."""
    if not path.is_dir():
        return path.suffix.lower() in (".json", ".xml")
    if "labels" in path.absolute().parts:
        return True
    with clear_errors(path):
        return any(
            item.name in ("labels", "ann", "annotations.xml") or item.suffix.lower() == ".json"
            for item in path.iterdir()
        )


def _keep_listed(table: InstanceTable, images: str | Path, path: Path) -> None:
    wanted = read_names(images)
    missing = sorted(set(wanted) - set(table.images))
    if missing:
        hint = nearest(missing[0], table.images)
        raise FormatError(f"{images}: image '{missing[0]}' has no annotation in {path}{hint}")
    table.other_images = [name for name in table.images if name not in set(wanted)]
    table.keep_images(np.isin(np.array(table.images), wanted))


def read_results(
    path: Path,
    truth: InstanceTable,
    annotations: Path,
    *,
    classes: Sequence[str] | None,
    task: int,
    lenient: bool,
    jobs: int | None,
) -> InstanceTable:
    """Reads results: DOTA's and ICDAR's files, or the JSON of COCO and Ultralytics.

    Args:
        path: Folder, archive or JSON file.
        truth: Annotations.
        annotations: Path of the annotations; a COCO-style file gives the numbers of images and classes in JSON.
        classes: Classes to read; None: those of the files.
        task: DOTA's task, 1 or 2.
        lenient: Whether to skip and count errors instead of raising.
        jobs: Number of threads; None: one per core.

    Raises:
        FormatError: For results that cannot be read.
    """
    if path.suffix.lower() in _PICKLES:
        raise FormatError(
            f"{path}: a pickle can run code, so it is not read; write Task1 files or COCO's results JSON instead"
            " (MMRotate: tools/test.py with test_evaluator.outfile_prefix)"
        )
    if path.suffix.lower() == ".json" and not path.is_dir():
        return _read_json(path, truth, annotations, classes, lenient)
    _refuse_labels(path)
    return read_detections(
        path,
        images=truth.images,
        other_images=truth.other_images,
        classes=classes,
        other_classes=truth.other_classes,
        task=task,
        lenient=lenient,
        jobs=jobs,
    )


def _refuse_labels(path: Path) -> None:
    """Refuses label files of Ultralytics, whose numbers are shares of sizes that results do not tell."""
    first = next((file for file in sorted(path.glob("*.txt"))), None) if path.is_dir() else None
    words = File(first.name, str(first), first).head(4096).split(b"\n")[0].split() if first else []
    try:
        label, *rest = map(float, words)
    except ValueError:
        return
    if label.is_integer() and len(rest) in (5, 9) and all(abs(share) <= 2 for share in rest):
        raise FormatError(
            f"{first}:1: is a label file of Ultralytics, with shares of the image size; score predictions.json instead,"
            " which val(save_json=True) writes"
        )


def _read_json(
    path: Path, truth: InstanceTable, annotations: Path, classes: Sequence[str] | None, lenient: bool
) -> InstanceTable:
    """Reads results JSON: a list of detections with image_id, category_id, score and a shape."""
    file = File(path.name, str(path), path)
    try:
        things = entries(load_json(file), "results")
    except DamagedEntry as error:
        raise FormatError(f"{path}: {error}") from None
    image_of, class_of = _numbers_of(annotations, truth)
    class_of = class_of or _numbered_classes(path, things, truth, classes)
    known = {name: i for i, name in enumerate(truth.images)}
    others, left_out = set(truth.other_images), set(truth.other_classes)
    names = list(classes if classes is not None else truth.classes)
    image: list[int] = []
    label: list[int] = []
    scores: list[float] = []
    quads: list[list[float]] = []
    skipped = dropped = 0
    for i, thing in enumerate(things):
        try:
            one = entry(thing)
            name = _image(one, image_of, known.keys() | others)
            category = one.get("category_id")
            kind = class_of.get(category) if isinstance(category, int | str) else None
            if kind is None:
                raise DamagedEntry(
                    "unknown class", f"category_id: there is no category {short(one.get('category_id'))}"
                )
            if name not in known and name not in others:
                raise DamagedEntry("unknown image", f"image_id: image '{name}' is not in the annotations")
            quad, score = _quad(one), number(one.get("score"), "score")
        except DamagedEntry as error:
            if not lenient:
                raise FormatError(f"{path}: [{i}]: {error}") from None
            skipped += 1
            continue
        if name in others or kind not in names:
            if kind not in names and kind not in left_out:
                raise FormatError(f"{path}: [{i}]: unknown class '{kind}'{nearest(kind, names)}")
            dropped += 1
            continue
        image.append(known[name])
        label.append(names.index(kind))
        scores.append(score)
        quads.append(quad)
    notices = [f"{path}: skipped {skipped:,} detections that cannot be read"] if skipped else []
    notices += [f"{path}: {dropped:,} detections of other images or classes dropped"] if dropped else []
    return InstanceTable(
        images=list(truth.images),
        classes=names,
        boxes=np.array(quads, np.float64).reshape(-1, 8),
        kind="quad",
        scores=np.array(scores, np.float64),
        image=np.array(image, np.int32),
        label=np.array(label, np.int32),
        format="json",
        skipped={"damaged detection": skipped} if skipped else {},
        notices=notices,
    )


def _numbers_of(annotations: Path, truth: InstanceTable) -> tuple[dict[str, str], dict[Any, str]]:
    """Names of images and classes by their ids in a COCO-style file; {} for other annotations."""
    if annotations.suffix.lower() != ".json" or annotations.is_dir():
        return {}, {}
    record = load_json(File(annotations.name, str(annotations), annotations))
    if not isinstance(record, Mapping) or "images" not in record or "categories" not in record:
        return {}, {}
    known = {*truth.images, *truth.other_images}
    images: dict[str, str] = {}
    for one in record["images"]:
        file = PurePosixPath(str(one.get("file_name", one.get("filename"))))
        forms = (file.stem, str(file.with_suffix("")), str(file))  # the reader takes the shortest that is unique
        name = next((form for form in forms if form in known), None)
        if name is not None:
            images[str(one["id"])] = name
    return images, {one["id"]: str(one["name"]) for one in record["categories"]}


def _numbered_classes(
    path: Path, things: Sequence[Any], truth: InstanceTable, classes: Sequence[str] | None
) -> dict[Any, str]:
    """Classes by number, which Ultralytics counts from 1 (older versions: 0) in the order of the data's names."""
    names = list(classes or truth.classes)
    if classes is None and len(names) > 1:
        raise FormatError(f"{path}: its classes are numbers; name them in their order with --classes A,B,...")
    numbers = [thing.get("category_id") for thing in things if isinstance(thing, Mapping)]
    start = 0 if 0 in numbers else 1
    recent = any("file_name" in thing for thing in things if isinstance(thing, Mapping))
    if start == 1 and len(names) > 1 and len(names) not in numbers and not recent:
        raise FormatError(
            f"{path}: no category_id is 0 or {len(names)}, so the classes may be numbered from 0 or 1: give COCO-style"
            " annotations, whose categories have ids"
        )
    return {i + start: name for i, name in enumerate(names)}


def _image(thing: Mapping[str, Any], image_of: Mapping[str, str], known: Set[str]) -> str:
    """Name of the image of a detection: its file, its id in a COCO-style file, or the id itself (Ultralytics)."""
    if thing.get("file_name"):
        return Path(str(thing["file_name"])).stem
    number = str(thing.get("image_id"))
    name, stem = image_of.get(number), Path(number).stem
    ultralytics = "poly" in thing or "rbox" in thing
    if ultralytics and stem in known:
        return stem
    return stem if name is None else name


def _quad(thing: Mapping[str, Any]) -> list[float]:
    """Corners of a detection, from the most exact shape that it has."""
    outline = thing.get("poly")
    segmentation = thing.get("segmentation")
    if outline is None and isinstance(segmentation, list) and len(segmentation) == 1:
        outline = segmentation[0]
    if isinstance(outline, list) and len(outline) == 8:
        return [v for pair in points([outline[i : i + 2] for i in range(0, 8, 2)], "poly") for v in pair]
    if segmentation:
        raise DamagedEntry("damaged shape", "segmentation: need one polygon of four corners")
    box = thing.get("rbox", thing.get("bbox"))
    values = [number(v, "bbox") for v in box] if isinstance(box, list) else []
    if len(values) == 5:
        quad: list[float] = convert(np.array([values]), "rbox", "quad")[0].tolist()
        return quad
    if len(values) == 4:
        x, y, w, h = values
        if min(w, h) < 0:
            raise DamagedEntry("damaged shape", f"bbox: width and height must not be negative, got {w} and {h}")
        return [x, y, x + w, y, x + w, y + h, x, y + h]
    raise DamagedEntry("damaged shape", f"need poly, rbox, segmentation of four corners or bbox, got {short(box)}")
