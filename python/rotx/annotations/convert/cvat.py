"""Reading CVAT's XML "CVAT for images 1.1", the one export of CVAT that keeps every shape as it was drawn."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any
from xml.etree import ElementTree

import numpy as np

from rotx.annotations.convert.collect import Collector, box_corners, image_name, size_of
from rotx.annotations.convert.masks import points_of_runs, rectangle_around
from rotx.annotations.files import File
from rotx.annotations.json_files import DamagedEntry, flag, number
from rotx.records import InstanceTable

_PIECE = 1 << 20
#: XML with definitions of its own can expand without a limit.
_REFUSED = (b"<!DOCTYPE", b"<!ENTITY", b"\0")
_SHAPES = ("box", "polygon", "mask", "ellipse", "polyline", "points", "cuboid", "skeleton", "tag")
#: Attributes that are read, and those of CVAT's own book-keeping.
_READ = {"label", "xtl", "ytl", "xbr", "ybr", "points", "rotation", "rle", "left", "top", "width", "height"}
_READ |= {"source", "z_order", "id"}
_VIDEO = "is CVAT's export for video: export 'CVAT for images 1.1'"


def rejects(head: bytes) -> str | None:
    """Why a file that begins with ``head`` is not CVAT's; None if it is."""
    start = head.lstrip(b"\xef\xbb\xbf \r\n\t")
    if start.startswith(b"<?xml"):
        start = start.split(b"?>", 1)[-1].lstrip()
    while start.startswith(b"<!--"):
        start = start.split(b"-->", 1)[-1].lstrip()
    return None if start.startswith(b"<annotations") else "does not start with <annotations>"


def read(files: Sequence[File], lenient: bool) -> InstanceTable:
    """Reads exports.

    Raises:
        FormatError: For the first invalid shape or file, unless ``lenient``.
    """
    objects = Collector("cvat", lenient)
    for file in files:
        with objects.checked(file.shown):
            for node in _images(file):
                name = node.get("name") or ""
                if not name:
                    raise DamagedEntry("damaged entry", "<image> has no name")
                sides = [text and text.isdigit() and int(text) for text in (node.get("height"), node.get("width"))]
                image = objects.add_image(image_name(name), file, size_of(*sides), name)
                for child in node:
                    if child.tag not in _SHAPES:
                        objects.lose_entry(child.tag)
                for k, shape in enumerate(child for child in node if child.tag in _SHAPES):
                    with objects.checked(f"{file.shown}: image {name!r}: <{shape.tag}> {k + 1}"):
                        _add(objects, image, shape)
    return objects.table()


def _images(file: File) -> Iterator[ElementTree.Element]:
    """Yields the ``<image>`` elements of a file one by one, so that memory does not grow with the file."""
    parser: ElementTree.XMLPullParser[Any] = ElementTree.XMLPullParser(("start", "end"))
    root: ElementTree.Element | None = None
    tail = b""
    try:
        with file.open() as opened:
            while piece := opened.read(_PIECE):
                if any(word in tail + piece for word in _REFUSED):
                    raise DamagedEntry("not xml", "holds a DOCTYPE, an entity or NUL bytes: refused")
                tail = piece[-16:]
                parser.feed(piece)
                for event, node in _events(parser):
                    root = node if root is None else root
                    if event == "start" and node.tag == "track":
                        raise DamagedEntry("video", _VIDEO)
                    if event == "end" and node.tag == "image":
                        yield node
                        root.clear()
            parser.close()
            yield from (node for event, node in _events(parser) if event == "end" and node.tag == "image")
    except DamagedEntry:
        raise
    except (ElementTree.ParseError, LookupError, ValueError) as error:  # the last two: of an unknown encoding
        raise DamagedEntry("not xml", f"is not well-formed xml, or is cut off: {error}") from None
    except OSError as error:
        raise DamagedEntry("unreadable", f"cannot be read: {error.strerror or error}") from None


def _events(parser: ElementTree.XMLPullParser[Any]) -> Iterator[tuple[str, ElementTree.Element]]:
    return parser.read_events()  # type: ignore[return-value]  # of "start" and "end" events


def _add(objects: Collector, image: int, shape: ElementTree.Element) -> None:
    if shape.tag == "tag":
        objects.lose_entry("tag")  # of the whole image
        return
    attributes = {node.get("name") or "": (node.text or "").strip() for node in shape.iter("attribute")}
    difficult = attributes.pop("difficult", None)
    corners = _corners(objects, shape)
    objects.add(image, shape.get("label"), corners, int(flag(difficult, "difficult")))
    for name, value in attributes.items():
        if value and value.lower() != "false":
            objects.lose_entry(name)
    for name, value in shape.attrib.items():
        if name not in _READ and value not in ("", "0"):
            objects.lose_entry(name)


def _corners(objects: Collector, shape: ElementTree.Element) -> list[list[float]]:
    def value(key: str) -> float:
        return number(shape.get(key), key)

    rotation = math.radians(number(shape.get("rotation") or 0, "rotation"))
    if shape.tag == "box":
        return box_corners(value("xtl"), value("ytl"), value("xbr"), value("ybr"), rotation)
    if shape.tag == "polygon":
        pairs = [pair.split(",") for pair in (shape.get("points") or "").split(";") if pair.strip()]
        if any(len(pair) != 2 for pair in pairs):
            raise DamagedEntry("damaged shape", "points: need x,y;x,y;...")
        return [[number(x, "points"), number(y, "points")] for x, y in pairs]
    if shape.tag == "mask":
        outline = _outline(shape.get("rle") or "", value("left"), value("top"), value("width"), value("height"))
        objects.lose("masks: kept as minimum-area rectangles")
        return rectangle_around(outline)
    raise DamagedEntry("other shape", f"a <{shape.tag}> has no corners: need a box, polygon or mask")


def _outline(rle: str, left: float, top: float, width: float, height: float) -> list[list[float]]:
    """Points around the pixels of a mask whose runs alternate between background and mask, row by row."""
    runs = np.array([int(number(run, "rle")) for run in rle.split(",") if run.strip()], np.int64)
    w, h = int(width), int(height)
    if not len(runs) or runs.min() < 0 or w < 1 or runs.sum() != w * h:
        raise DamagedEntry("damaged shape", f"rle: the runs must add up to {w} x {h} pixels")
    stops = np.cumsum(runs)[1::2]
    return [[left + x, top + y] for x, y in points_of_runs(stops - runs[1::2], stops, w)]
