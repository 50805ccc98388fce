"""Faults of a dataset and their kinds."""

from __future__ import annotations

from typing import NamedTuple

#: Every kind of fault, and what it means.
KINDS = {
    "unreadable": "annotations that cannot be read",
    "zero area": "objects whose corners are on a line; training drops them",
    "self-crossing": "objects whose sides cross: their corners are in the wrong order",
    "tiny": "objects with a side shorter than --tiny pixels",
    "outside": "objects more than 30 % outside the image: no window holds them",
    "duplicate": "objects of one class that overlap with an IoU above 0.95",
    "unknown class": "objects of unexpected classes",
    "missing image": "annotated images without a file",
    "missing label": "images without annotations",
    "similar names": "names that differ only in case, or two files for one image",
    "bad image": "images that are damaged or incomplete",
    "wrong size": "images whose size differs from the annotations",
    "same image": "images with the same pixels, in one dataset or in two",
}


class Fault(NamedTuple):
    """One fault of a dataset."""

    kind: str
    """One of `KINDS`."""
    file: str
    line: int
    """Line number from 1; 0 for the whole file, or for JSON."""
    text: str
    """Description of the fault."""
    annotation: int | str | None = None
    """Identifies the object in JSON: its ``id``, or else its index from 0."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"

    @property
    def place(self) -> str:
        """The file and line, or the annotation in a JSON file."""
        if self.annotation is not None:
            return f"{self.file}: annotation {self.annotation}"
        return f"{self.file}:{self.line}" if self.line else self.file
