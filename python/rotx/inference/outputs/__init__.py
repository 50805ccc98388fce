"""What is written of a run over many images: results come one by one, memory does not grow with them.

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
    """Raises what the writers would raise later, as far as it can be known before the work.

    Args:
        formats: Some of `FORMATS`.
        inputs: Names, as results will have them, and files of what will be looked at.
        classes: Names of the classes, in the order of the labels.

    Raises:
        ValueError: For an unknown format, for names that a format cannot hold, for an image without georeference
            if GeoJSON is asked for.
        ImportError: If a format needs an extra that is not installed.
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"format '{name}': need some of {', '.join(FORMATS)}")
        if formats.count(name) > 1:
            raise ValueError(f"format '{name}': named twice")
    if "dota" in formats:
        check_names([name for name, _ in inputs], classes)
    if "geojson" in formats:
        need_rasterio()
        _check_places([file for _, file in inputs])


def _check_places(files: Sequence[Path]) -> None:
    unplaced = []
    for file in tqdm(files, desc="georeferences", unit="image", leave=False):
        try:
            Georeference.of(file)
        except NotPlaced as error:
            unplaced.append(str(error))
        except UnreadableImage:
            pass  # it is said when it is looked at, and stops nothing else
    if unplaced:
        more = f"; so are {len(unplaced) - 1:,} more files" if len(unplaced) > 1 else ""
        raise ValueError(f"{unplaced[0]}{more}: leave out geojson, or what cannot be on the map")


def open_writers(formats: Sequence[str], out: Path, classes: Sequence[str]) -> list[Writer]:
    """The writers of some formats; leftovers of killed writers are removed.

    Args:
        formats: Some of `FORMATS`, each once.
        out: Folder that they write to; made if it is not there.
        classes: Names of the classes, in the order of the labels.

    Raises:
        ValueError: If a format cannot store the class names.
        OSError: If a file cannot be made; none is left then.
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
