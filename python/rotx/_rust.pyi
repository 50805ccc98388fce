"""The compiled core. Private: use `rotx.geometry`, `rotx.annotations.formats` and `rotx.evaluation`."""

from collections.abc import Callable, Iterator
from os import PathLike
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ImageReader",
    "Matches",
    "areas",
    "box_iou",
    "box_iou_aligned",
    "clip_convex",
    "coco_annotations",
    "convex_giou",
    "convex_giou_backward",
    "convex_hull",
    "convex_iou",
    "hull_indices",
    "match_detections",
    "min_area_rect",
    "min_area_rects",
    "nms",
    "points_in_quads",
    "rbox_to_quad",
    "read_annotations",
    "read_detections",
    "read_image_info",
    "read_names",
    "roi_align_rotated",
    "roi_align_rotated_backward",
    "split_images",
    "tile_cut",
    "tile_windows",
    "write_annotations",
    "write_task1",
]

# Window, file, and the text beside it.
_Patch = tuple[tuple[int, int, int, int], str, tuple[str, str] | None]
# A file, or a function that gives all pixels, (H, W, 3) BGR; width and height; patches.
_Image = tuple[Path | Callable[[], NDArray[np.uint8]], tuple[int, int], list[_Patch]]
_F = NDArray[np.float64]
_U = NDArray[np.uint32]
_Boxes = tuple[_F, _U, _U]

def box_iou(a: _F, b: _F, mode: str, jobs: int, out: _F) -> None: ...
def box_iou_aligned(a: _F, b: _F, mode: str) -> _F: ...
def nms(boxes: _F, scores: _F, iou_threshold: float, labels: NDArray[np.int64] | None) -> NDArray[np.int64]: ...
def rbox_to_quad(rboxes: _F) -> _F: ...
def areas(boxes: _F) -> _F: ...
def points_in_quads(points: _F, quads: _F) -> NDArray[np.bool_]: ...
def convex_hull(points: _F) -> _F: ...
def min_area_rect(points: _F) -> _F: ...
def min_area_rects(points: _F) -> _F: ...
def hull_indices(points: _F) -> NDArray[np.int64]: ...
def convex_iou(points: _F, others: _F, mode: str, jobs: int, out: _F) -> None: ...
def convex_giou(points: _F, others: _F) -> _F: ...
def convex_giou_backward(grad: _F, points: _F, others: _F) -> _F: ...
def clip_convex(subject: _F, clip: _F) -> _F: ...

@final
class Matches:
    @property
    def order(self) -> _U: ...
    @property
    def starts(self) -> NDArray[np.int64]: ...
    @property
    def hit(self) -> _U: ...
    @property
    def ignored(self) -> _U: ...
    @property
    def truth(self) -> NDArray[np.int32]: ...
    @property
    def iou(self) -> _F: ...
    @property
    def positives(self) -> _U: ...
    def average_precision(self, average: str, jobs: int) -> _F: ...
    def curve(self, label: int, threshold: int) -> tuple[_F, _F]: ...
    def bootstrap(
        self,
        truth: _Boxes,
        ignore: NDArray[np.bool_],
        detection_image: _U,
        weights: _U,
        threshold: int,
        average: str,
        jobs: int,
    ) -> _F: ...

def match_detections(
    truth: _Boxes,
    ignore: NDArray[np.bool_],
    detections: _Boxes,
    scores: _F,
    classes: int,
    images: int,
    *,
    thresholds: list[float],
    strict: bool,
    second_choice: bool,
    measure: str,
    max_detections: int,
    area: tuple[float, float] | None,
    jobs: int,
) -> Matches: ...

_Files = list[tuple[str, str, bytes | PathLike[str]]]

def read_annotations(
    format: str,
    files: _Files,
    images: list[str] | None,
    classes: list[str] | None,
    lenient: int | None,
    jobs: int,
) -> dict[str, Any]: ...
def read_detections(
    format: str,
    files: _Files,
    images: list[str] | None,
    classes: list[str] | None,
    lenient: int | None,
    jobs: int,
) -> dict[str, Any]: ...
def read_names(name: str, file: bytes | PathLike[str]) -> tuple[list[str], list[int], int]: ...
def read_image_info(files: _Files, jobs: int) -> tuple[list[str], NDArray[np.uint32]]: ...
def write_annotations(format: str, batch: object, folder: str | PathLike[str], jobs: int) -> None: ...
def coco_annotations(batch: object, first_image: int, first_object: int, jobs: int) -> bytes: ...
def write_task1(
    names: list[str], quads: _F, scores: _F, image: NDArray[np.int32], label: NDArray[np.int32], of: int
) -> bytes: ...

_Planes = NDArray[np.float32] | NDArray[np.float64]

def roi_align_rotated(
    input: _Planes,
    rois: _F,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    clockwise: bool,
    jobs: int,
    out: _Planes,
) -> None: ...
def roi_align_rotated_backward(
    grad: _Planes,
    rois: _F,
    output_size: tuple[int, int],
    spatial_scale: float,
    sampling_ratio: int,
    aligned: bool,
    clockwise: bool,
    jobs: int,
    grad_input: _Planes,
) -> None: ...
def split_images(
    images: Iterator[_Image],
    jpeg: bool,
    padding: tuple[int, int, int] | None,
    jobs: int,
    report: Callable[[str, int, str], None],
) -> None: ...
def tile_windows(width: int, height: int, tilings: list[tuple[int, int]], img_rate_thr: float) -> NDArray[np.int64]: ...
def tile_cut(quads: _F, windows: NDArray[np.int64], iof_thr: float) -> tuple[_U, _U, NDArray[np.bool_]]: ...

@final
class ImageReader:
    def __new__(cls, path: str | PathLike[str]) -> ImageReader: ...
    @property
    def width(self) -> int: ...
    @property
    def height(self) -> int: ...
    @property
    def block(self) -> tuple[int, int]: ...
    def read(self, x: int, y: int, width: int, height: int) -> NDArray[np.uint8]: ...
