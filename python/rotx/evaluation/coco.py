"""COCO's official numbers for horizontal boxes and masks, computed by pycocotools. Works without torch."""

from __future__ import annotations

import contextlib
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path, PurePosixPath
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from rotx import boxes
from rotx.evaluation.protocols import iou_thresholds
from rotx.records import InstanceTable

CocoKind = Literal["bbox", "segm"]
#: Shapes that detections can be compared by.
KINDS: tuple[CocoKind, ...] = get_args(CocoKind)

#: Numbers of pycocotools, in its order: AP at IoU 0.5 to 0.95, 0.5 and 0.75, AP of small, medium and large objects;
#: recall with at most 1, 10 and 100 detections per image, and recall of small, medium and large objects.
NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR1", "AR10", "AR100", "ARs", "ARm", "ARl")
#: Numbers of each class.
CLASS_NUMBERS = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR")
#: Numbers over all classes that correspond to `CLASS_NUMBERS`.
_OF_ALL = ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR100")


@dataclass(frozen=True, eq=False)
class CocoEvaluation:
    """Scores of detections by COCO's rules; -1 where there is no object to find.

    Attributes:
        annotations: Objects.
        results: Detections.
        classes: Class names.
        kinds: Compared shapes: ``"bbox"``, ``"segm"`` or both.
        numbers: `NUMBERS` for each kind.
        of_classes: `CLASS_NUMBERS` (K, 7) of the K classes, for each kind.
        gts: Numbers (K,) of objects of each class, without crowds.
        dets: Numbers (K,) of detections of each class.
        notices: Messages for the user, one sentence each.
    """

    annotations: InstanceTable
    results: InstanceTable
    classes: tuple[str, ...]
    kinds: tuple[CocoKind, ...]
    numbers: dict[CocoKind, dict[str, float]]
    of_classes: dict[CocoKind, NDArray[np.float64]]
    gts: NDArray[np.int64]
    dets: NDArray[np.int64]
    notices: tuple[str, ...] = ()

    @property
    def map(self) -> float:
        """AP of the first kind."""
        return self.numbers[self.kinds[0]]["AP"]

    def to_dict(self) -> dict[str, Any]:
        """Returns the content of ``--json``."""
        classes: dict[str, Any] = {}
        for i, name in enumerate(self.classes):
            classes[name] = {"gts": int(self.gts[i]), "dets": int(self.dets[i])}
            for kind in self.kinds:
                values = map(_defined, self.of_classes[kind][i].tolist())
                classes[name][kind] = dict(zip(CLASS_NUMBERS, values, strict=True))
        numbers: dict[str, Any] = {
            kind: {name: _defined(value) for name, value in self.numbers[kind].items()} for kind in self.kinds
        }
        return {"protocol": "coco-official", **numbers, "classes": classes}

    def rows(self) -> list[list[object]]:
        """Returns the lines of ``--csv``: one for each kind and class, and one for all classes of a kind."""
        lines: list[list[object]] = [["kind", "class", "gts", "dets", *CLASS_NUMBERS]]
        for kind in self.kinds:
            counts = zip(self.classes, self.gts.tolist(), self.dets.tolist(), strict=True)
            rows = zip(counts, self.of_classes[kind].tolist(), strict=True)
            lines += [[kind, *count, *map(_defined, row)] for count, row in rows]
            lines.append([kind, "mAP", "", "", *(_defined(self.numbers[kind][number]) for number in _OF_ALL)])
        return lines

    def table(self) -> list[list[str]]:
        """Returns the scores of each class and of all classes, as rows of text below a header."""
        columns = [f"{kind} {number}" for kind in self.kinds for number in CLASS_NUMBERS]
        rows = [["class", "objects", "detections", *columns]]
        for i, name in enumerate(self.classes):
            values = np.concatenate([self.of_classes[kind][i] for kind in self.kinds])
            rows.append([name, f"{self.gts[i]:,}", f"{self.dets[i]:,}", *(_shown(value) for value in values.tolist())])
        means = [_shown(self.numbers[kind][number]) for kind in self.kinds for number in _OF_ALL]
        return [*rows, ["mAP", f"{self.gts.sum():,}", f"{self.dets.sum():,}", *means]]


def evaluate_coco(
    annotations: InstanceTable,
    results: InstanceTable,
    kinds: Sequence[CocoKind] = ("bbox",),
    *,
    ann_file: str | Path | None = None,
    iou: Sequence[float] | None = None,
) -> CocoEvaluation:
    """Scores detections by COCO's rules with pycocotools, with at most 100 detections per image and class.

    The images and classes in ``results`` are scored. Rotated boxes are replaced by the horizontal boxes around them.
    Ignored objects count as crowds.

    Args:
        annotations: Objects, with masks and the sizes of images for ``"segm"``. The area of an object, which decides
            whether it is small, is that of its mask if the sizes of all images are known, or else of its box.
        results: Detections, with masks for ``"segm"``.
        kinds: Shapes to compare: ``"bbox"``, ``"segm"`` or both.
        ann_file: COCO's JSON file of the objects, which contains their areas; it replaces ``annotations``.
        iou: IoU thresholds; None: 0.5 to 0.95.

    Raises:
        ValueError: If the annotations lack an image or class, or masks or sizes are missing.
        ImportError: If pycocotools is not installed.
    """
    truth = _with_index(_truth(annotations, kinds) if ann_file is None else _read(Path(ann_file)))
    image_ids = _ids(_image_names(truth.dataset["images"]), results.images, "image")
    category_ids = _ids({c["name"]: c["id"] for c in truth.dataset["categories"]}, results.classes, "class")
    numbers: dict[CocoKind, dict[str, float]] = {}
    of_classes: dict[CocoKind, NDArray[np.float64]] = {}
    for kind in kinds:
        found = _detections(truth, results, kind, image_ids, category_ids)
        scores = _run(truth, found, kind, image_ids, category_ids, iou)
        numbers[kind] = dict(zip(NUMBERS, map(float, scores.stats), strict=True))
        of_classes[kind] = np.array([_of_class(scores, k) for k in range(len(category_ids))]).reshape(-1, 7)
    here = set(image_ids)
    counted = Counter(
        a["category_id"] for a in truth.dataset["annotations"] if not a["iscrowd"] and a["image_id"] in here
    )
    return CocoEvaluation(
        annotations=annotations,
        results=results,
        classes=tuple(results.classes),
        kinds=tuple(kinds),
        numbers=numbers,
        of_classes=of_classes,
        gts=np.array([counted[i] for i in category_ids], np.int64),
        dets=np.bincount(results.label, minlength=len(category_ids)),
        notices=(*annotations.notices, *results.notices),
    )


class CocoMetric:
    """COCO's official average precision of horizontal boxes and masks, by pycocotools.

    MMDetection sets the limits of detections to 100, 300 and 1000, so its ``mAP_50`` and the numbers after it count
    1000 detections per image. Here all numbers are COCO's own, with at most 100.

    Args:
        ann_file: COCO's JSON file of the objects; None: the objects of the dataset.
        metric: Shapes to compare: ``"bbox"``, ``"segm"`` or both; the first one selects the best checkpoint.
        iou_thrs: IoU threshold or thresholds; None: 0.5 to 0.95.
        format_only: Whether ``rotx-eval model`` only writes the detections, without scoring them.
        outfile_prefix: Prefix of the files that ``rotx-eval model`` writes if ``--out`` is not given.
        prefix: Prefix of the names of the headline numbers, followed by a slash.
    """

    def __init__(
        self,
        *,
        ann_file: str | None = None,
        metric: str | Sequence[str] = "bbox",
        iou_thrs: float | Sequence[float] | None = None,
        format_only: bool = False,
        outfile_prefix: str | None = None,
        prefix: str | None = None,
    ) -> None:
        kinds: tuple[Any, ...] = (metric,) if isinstance(metric, str) else tuple(metric)
        if not kinds or set(kinds) - set(KINDS) or len(set(kinds)) < len(kinds):
            raise ValueError(f"metric: need 'bbox', 'segm' or both, got {metric!r}")
        self.kinds: tuple[CocoKind, ...] = kinds
        if format_only and not outfile_prefix:
            raise ValueError("format_only: needs outfile_prefix, the folder to write to")
        self.ann_file = ann_file
        self.iou = iou_thresholds(iou_thrs)
        self.format_only, self.outfile_prefix, self.prefix = format_only, outfile_prefix, prefix

    def evaluate(self, annotations: InstanceTable, detections: InstanceTable) -> CocoEvaluation:
        """Scores detections against annotations of the same images."""
        return evaluate_coco(annotations, detections, self.kinds, ann_file=self.ann_file, iou=self.iou)

    def headline(self, evaluation: CocoEvaluation) -> dict[str, float]:
        """Returns ``bbox_mAP``, ``bbox_mAP_50``, ``_75``, ``_s``, ``_m``, ``_l``, and likewise ``segm_mAP``."""
        names = {"AP": "", "AP50": "_50", "AP75": "_75", "APs": "_s", "APm": "_m", "APl": "_l"}
        start = f"{self.prefix}/" if self.prefix else ""
        return {
            f"{start}{kind}_mAP{name}": nan if (value := evaluation.numbers[kind][number]) < 0 else value
            for kind in evaluation.kinds
            for number, name in names.items()
        }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Suppresses the output of pycocotools."""
    with contextlib.redirect_stdout(io.StringIO()):
        yield


def _read(path: Path) -> dict[str, Any]:
    try:
        data: dict[str, Any] = json.loads(path.read_bytes())
        return {key: data[key] for key in ("images", "annotations", "categories")}
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: is not a COCO annotation file: {error!r}") from None


def _with_index(dataset: Mapping[str, Any]) -> Any:
    """Converts annotations to pycocotools' object."""
    from pycocotools.coco import COCO

    with _quiet():
        made = COCO()
        made.dataset = dict(dataset)
        made.createIndex()
    return made


def _image_names(images: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Maps file names without suffix to image ids: names with folders, and bare names where these are unique."""
    files = [PurePosixPath(str(image["file_name"])).with_suffix("") for image in images]
    counts = Counter(file.name for file in files)
    names = {str(file): image["id"] for file, image in zip(files, images, strict=True)}
    short = {file.name: image["id"] for file, image in zip(files, images, strict=True) if counts[file.name] == 1}
    return {**short, **names}


def _ids(known: Mapping[str, Any], names: Sequence[str], what: str) -> list[Any]:
    for name in names:
        if name not in known:
            raise ValueError(f"COCO annotations: there is no {what} '{name}'")
    return [known[name] for name in names]


def _truth(table: InstanceTable, kinds: Sequence[CocoKind]) -> dict[str, Any]:
    """Converts annotations to the content of a COCO file."""
    hboxes = boxes.convert(table.boxes, table.kind, "hbox")
    corner, sides = hboxes[:, :2], hboxes[:, 2:] - hboxes[:, :2]
    measured = table.masks is not None and (not len(table) or all(table.sizes or [None]))
    runs = _runs(table) if measured or "segm" in kinds else None
    areas = sides.prod(1).tolist() if runs is None else _areas(runs)
    crowd = np.zeros(len(table), np.bool_) if table.ignored is None else table.ignored
    rows = zip(table.image.tolist(), table.label.tolist(), corner.tolist(), sides.tolist(), areas, crowd, strict=True)
    annotations = []
    for i, (image, label, xy, wh, area, ignored) in enumerate(rows):
        annotation = {"id": i + 1, "image_id": image + 1, "category_id": label + 1, "bbox": [*xy, *wh], "area": area}
        annotation["iscrowd"] = int(ignored)
        if runs is not None:
            annotation["segmentation"] = runs[i]
        annotations.append(annotation)
    sizes = table.sizes or [None] * len(table.images)
    images = [
        {"id": i, "file_name": f"{name}.png", "height": size[0] if size else 0, "width": size[1] if size else 0}
        for i, (name, size) in enumerate(zip(table.images, sizes, strict=True), start=1)
    ]
    categories = [{"id": i, "name": name} for i, name in enumerate(table.classes, start=1)]
    return {"images": images, "annotations": annotations, "categories": categories}


def _runs(table: InstanceTable) -> list[dict[str, Any]]:
    """Returns the masks of a table as run-length encodings of whole images."""
    if not len(table):
        return []
    if table.masks is None:
        raise ValueError("segm: need masks, got only boxes")
    runs = []
    for image, item in zip(table.image.tolist(), table.masks, strict=True):
        size = table.sizes[image] if table.sizes else None
        if isinstance(item, dict):
            size = (int(item["size"][0]), int(item["size"][1]))
        if size is None:
            raise ValueError(f"segm: image '{table.images[image]}': need its height and width")
        runs += type(table.masks)([item]).runs(*size)
    return runs


def _areas(runs: Sequence[dict[str, Any]]) -> list[float]:
    from pycocotools import mask

    return [float(mask.area(one)) for one in runs]  # one by one: some versions reject lists of more than 255


def _detections(
    truth: Any, results: InstanceTable, kind: CocoKind, image_ids: Sequence[Any], category_ids: Sequence[Any]
) -> Any:
    """Converts detections to pycocotools' object."""
    scores = np.asarray(results.scores).tolist()
    rows = zip(results.image.tolist(), results.label.tolist(), scores, strict=True)
    found = [{"image_id": image_ids[i], "category_id": category_ids[k], "score": score} for i, k, score in rows]
    if kind == "segm":
        for one, runs in zip(found, _runs(results), strict=True):
            one["segmentation"] = runs
    else:
        hboxes = boxes.convert(results.boxes, results.kind, "hbox")
        for one, x, y, x2, y2 in zip(found, *hboxes.T.tolist(), strict=True):
            one["bbox"] = [x, y, x2 - x, y2 - y]
    if not found:  # loadRes rejects empty lists
        return _with_index({**truth.dataset, "annotations": []})
    with _quiet():
        return truth.loadRes(found)


def _run(
    truth: Any,
    found: Any,
    kind: CocoKind,
    image_ids: Sequence[Any],
    category_ids: Sequence[Any],
    iou: Sequence[float] | None,
) -> Any:
    from pycocotools.cocoeval import COCOeval

    with _quiet():
        scores = COCOeval(truth, found, kind)
        scores.params.imgIds, scores.params.catIds = list(image_ids), list(category_ids)
        if iou is not None:
            scores.params.iouThrs = np.array(iou, np.float64)
        scores.evaluate()
        scores.accumulate()
        scores.summarize()
    return scores


def _of_class(scores: Any, k: int) -> list[float]:
    """Returns the `CLASS_NUMBERS` of a class, as means of the values that pycocotools accumulated."""
    # Axes: thresholds, recalls, classes, areas, limits of detections; the last limit is the greatest.
    precision, recall = scores.eval["precision"][:, :, k, :, -1], scores.eval["recall"][:, k, 0, -1]
    thresholds = scores.params.iouThrs
    at = [precision[np.isclose(thresholds, t)][..., 0] for t in (0.5, 0.75)]
    return [*map(_mean, (precision[..., 0], *at, precision[..., 1], precision[..., 2], precision[..., 3], recall))]


def _mean(values: NDArray[np.float64]) -> float:
    known = values[values > -1]
    return float(known.mean()) if len(known) else -1.0


def _defined(value: float) -> float | None:
    """A number for JSON and CSV; None if it is undefined, which pycocotools shows as -1."""
    return None if value < 0 else value


def _shown(value: float) -> str:
    return "–" if value < 0 else f"{value:.4f}"
