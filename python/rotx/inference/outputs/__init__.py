"""What is written of a run over many images: results come one by one, memory does not grow with them.

Works without torch.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from rotx.inference.outputs.picture import draw
from rotx.inference.outputs.predictions import JsonWriter
from rotx.inference.outputs.result import Result, Writer

__all__ = ["FORMATS", "Result", "Writer", "check", "draw", "open_writers"]

FORMATS = ("json", "dota", "coco", "yolo", "geojson")


def check(formats: Sequence[str], inputs: Iterable[tuple[str, Path]], classes: Sequence[str]) -> None:
    """Raises what the writers would raise later, as far as it can be known before the work.

    Args:
        formats: of `FORMATS`.
        inputs: the names, as those of `Result`, and files of what will be looked at.
        classes: names, in the order of the labels.

    Raises:
        ValueError: for an unknown format, for names that a format cannot hold, for an image without georeference
            if GeoJSON is asked for.
        ImportError: if a format needs an extra that is not installed.
    """
    for name in formats:
        if name not in FORMATS:
            raise ValueError(f"format {name!r}: need one of {', '.join(FORMATS)}")


def open_writers(formats: Sequence[str], out: Path, classes: Sequence[str]) -> list[Writer]:
    """The writers of some formats.

    Args:
        formats: of `FORMATS`, each once.
        out: the folder that they write to; made if it is not there.
        classes: names, in the order of the labels.

    Raises:
        OSError: if a file cannot be made; none is left then.
    """
    out.mkdir(parents=True, exist_ok=True)
    return [JsonWriter(out) for name in formats if name == "json"]
