"""Writers of results, one per format. They take images one by one, so memory does not grow with their number.

Works without torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from tqdm import tqdm

from rotx.annotations.task1 import check_names
from rotx.images.files import UnreadableImage
from rotx.inference.outputs.coco import CocoWriter
from rotx.inference.outputs.geojson import GeoJsonWriter
from rotx.inference.outputs.georeference import Georeference, NotPlaced, need_rasterio
from rotx.inference.outputs.picture import draw
from rotx.inference.outputs.predictions import JsonWriter
from rotx.inference.outputs.task1 import Task1Writer
from rotx.inference.outputs.writer import Writer
from rotx.inference.outputs.yolo import YoloWriter

__all__ = ["FORMATS", "Writer", "check", "draw", "open_writers"]

FORMATS = ("json", "dota", "coco", "yolo", "geojson")


def check(formats: Sequence[str], inputs: Sequence[tuple[str, Path]], classes: Sequence[str]) -> None:
    """Raises errors of the writers, as far as they can be detected before the run.

    Args:
        formats: Output formats, from `FORMATS`.
        inputs: Names in the results, and files, of all inputs.
        classes: Class names in the order of the labels.

    Raises:
        ValueError: If a format is unknown or cannot store a name, or an image for GeoJSON has no georeference.
        ImportError: If a format needs an extra that is not installed.
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"format '{name}': need {', '.join(FORMATS)}")
        if formats.count(name) > 1:
            raise ValueError(f"format '{name}': given twice")
    if "dota" in formats:
        check_names([name for name, _ in inputs], classes)
    if "geojson" in formats:
        need_rasterio()
        _check_places([file for _, file in inputs])


def _check_places(files: Sequence[Path]) -> None:
    unplaced = []
    for file in tqdm(files, desc="georeferences", unit="image", leave=False, disable=None):
        try:
            Georeference.of(file)
        except NotPlaced as error:
            unplaced.append(str(error))
        except UnreadableImage:
            pass  # reported when the image is processed; other images are not affected
    if unplaced:
        more = f" (and {len(unplaced) - 1:,} more)" if len(unplaced) > 1 else ""
        raise ValueError(f"{unplaced[0]}{more}: leave out geojson, or these images")


def open_writers(formats: Sequence[str], out: Path, classes: Sequence[str]) -> list[Writer]:
    """Opens the writers of some formats; removes temporary files of killed runs.

    Args:
        formats: Output formats, from `FORMATS`, each once.
        out: Output folder, created if it does not exist.
        classes: Class names in the order of the labels.

    Raises:
        ValueError: If a format cannot store the class names.
        OSError: If a file cannot be created; no file is left then.
    """
    makers: dict[str, Callable[[], Writer]] = {
        "json": lambda: JsonWriter(out, classes),
        "dota": lambda: Task1Writer(out, classes),
        "coco": lambda: CocoWriter(out, classes),
        "yolo": lambda: YoloWriter(out),
        "geojson": lambda: GeoJsonWriter(out, classes),
    }
    out.mkdir(parents=True, exist_ok=True)
    writers: list[Writer] = []
    try:
        for name in formats:
            writers.append(makers[name]())
    except BaseException:
        for writer in writers:
            writer.discard()
        raise
    return writers
