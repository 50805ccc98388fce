"""Draws detections over annotations."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from rotx.atomic import paths_inside, write_bytes
from rotx.evaluation.detect import Annotated
from rotx.geometry import quad_to_rbox
from rotx.images.draw import draw_boxes
from rotx.images.files import UnreadableImage
from rotx.images.window_cache import read_record, reading_order
from rotx.records import InstanceTable

WHITE = (255, 255, 255)


def write_pictures(
    dataset: Annotated,
    detections: InstanceTable,
    folder: str | Path,
    score_thr: float = 0.3,
) -> int:
    """Writes ``<image>.jpg`` for each image: annotated objects in white, detections on top in their class's colour.

    Args:
        dataset: Dataset of images and annotations.
        detections: Detections in each image, in the dataset's order.
        folder: Output folder, created if it does not exist.
        score_thr: Lowest score of the detections that are drawn.

    Returns:
        Number of pictures written; unreadable images are skipped.

    Raises:
        ValueError: If the folder holds images of the dataset.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    annotations = dataset.annotations()
    quads, found_quads = annotations.quads, detections.quads
    objects = _by_image(annotations.image, len(dataset))
    found = _by_image(detections.image, len(dataset))
    count = 0
    records = [dataset.record(i) for i in range(len(dataset))]
    theirs = {Path(record.path).parent.resolve() for record in records if record.path}
    files = paths_inside(folder, [record.name for record in records], ".jpg")
    for place in {file.parent.resolve() for file in files}:
        if place in theirs:
            raise ValueError(f"{place}: holds images of the dataset, which could be replaced; name another folder")
    for i in tqdm(reading_order(records), desc="pictures", unit="image", leave=False, disable=None):
        record, seen = records[i], found[i]
        try:
            image = read_record(record)
        except UnreadableImage:
            continue
        corners = quads[objects[i]].reshape(-1, 4, 2).round().astype(np.int32)
        cv2.polylines(image, list(corners), isClosed=True, color=WHITE, thickness=1, lineType=cv2.LINE_AA)
        seen = seen[detections.scores[seen] >= score_thr]
        labels = detections.label[seen]
        names = [detections.classes[label] for label in labels]
        captions = [f"{name} {score:.2f}" for name, score in zip(names, detections.scores[seen], strict=True)]
        picture = draw_boxes(image, quad_to_rbox(found_quads[seen]), labels, captions, names)
        files[i].parent.mkdir(parents=True, exist_ok=True)  # names of images may contain folders
        write_bytes(files[i], cv2.imencode(".jpg", picture)[1].tobytes())
        count += 1
    return count


def _by_image(image: NDArray[np.int32], images: int) -> list[NDArray[np.int64]]:
    """Returns the rows of each image, in order."""
    order = np.argsort(image, kind="stable")
    return np.split(order, np.searchsorted(image[order], np.arange(1, images)))
