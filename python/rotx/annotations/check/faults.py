"""A fault of a data set, and the kinds of them."""

from __future__ import annotations

from typing import NamedTuple

#: Every kind of fault, and what it means.
KINDS = {
    "unreadable": "annotations that cannot be read",
    "zero area": "objects whose corners are on a line; training drops them",
    "self-crossing": "objects whose sides cross: their corners are in the wrong order",
    "tiny": "objects with a side of fewer pixels than --tiny",
    "outside": "objects of which more than 30 % is beyond the image: no window holds them",
    "duplicate": "objects of one class in one place: IoU of more than 0.95",
    "unknown class": "objects of a class that is not asked for",
    "missing image": "annotated images without a file",
    "missing label": "images without annotations",
    "similar names": "names that differ in their letters' case only, or two files for one image",
    "bad image": "files that hold no whole image",
    "wrong size": "images of another size than their annotations say",
    "same image": "images of the same pixels, in one set or in two",
}


class Fault(NamedTuple):
    """Something that is wrong with a data set."""

    kind: str
    """One of `KINDS`."""
    file: str
    line: int
    """Of the file, from 1; 0: the file as a whole, or a json."""
    text: str
    """What is wrong."""
    annotation: int | str | None = None
    """Of a json: the ``id`` of the object, or its place from 0."""

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"

    @property
    def place(self) -> str:
        """File and line."""
        if self.annotation is not None:
            return f"{self.file}: annotation {self.annotation}"
        return f"{self.file}:{self.line}" if self.line else self.file
