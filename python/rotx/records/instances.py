"""The objects of one image."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from numpy.typing import ArrayLike

from rotx import boxes as rotx_boxes
from rotx.boxes import BoxKind, check_boxes, width
from rotx.boxes.arrays import floating, is_tensor, namespace
from rotx.records.bitmaps import Bitmaps
from rotx.records.box_masks import BoxMasks
from rotx.records.masks import Masks

#: Optional fields that are arrays with one entry per object.
_OPTIONAL = ("scores", "ignored", "difficult")


@dataclass(eq=False)
class Instances:
    """N objects of one image, or N candidate boxes such as proposals.

    All arrays are numpy arrays, or all are torch tensors on one device. Fields that are None are unknown.

    Attributes:
        boxes: Boxes (N, D), in pixels of the image.
        kind: Kind of the boxes: ``"hbox"``, ``"rbox"``, ``"quad"`` or ``"points"``.
        labels: Class of each object, (N,) int64, 0..K-1.
        scores: Score of each object in [0, 1], (N,) floating, for detections and proposals.
        ignored: (N,) bool: objects that training uses neither as objects nor as background.
        difficult: (N,) uint8: 0, 1 (difficult) or 2 (truncated).
        masks: Mask of each object: polygons or RLE, as in files; bitmaps, from which heads learn; or grids within the
            boxes, which heads predict.

    Raises:
        ValueError: For boxes that do not match their kind, or fields of another length or device.
        TypeError: For boxes that are not an array or tensor, or labels that are not int64.
    """

    boxes: Any
    kind: BoxKind
    labels: Any
    scores: Any = None
    ignored: Any = None
    difficult: Any = None
    masks: Masks | Bitmaps | BoxMasks | None = None

    def __post_init__(self) -> None:
        if not is_tensor(self.boxes) and not isinstance(self.boxes, np.ndarray):
            raise TypeError(f"instances.boxes: need an array or tensor (N, D), got {type(self.boxes).__name__}")
        if len(self.boxes.shape) != 2:
            raise ValueError(f"instances.boxes: need shape (N, D), got {tuple(self.boxes.shape)}")
        check_boxes(self.boxes, self.kind, "instances.boxes")
        self.boxes = floating(self.boxes)
        if str(self.labels.dtype) not in ("int64", "torch.int64"):
            raise TypeError(f"instances.labels: need int64, got {self.labels.dtype}")
        for name, values in self._arrays():
            if name != "boxes" and tuple(values.shape) != (len(self.boxes),):
                raise ValueError(
                    f"instances.{name}: need one for each of {len(self.boxes)} boxes, got shape {tuple(values.shape)}"
                )
            if is_tensor(values) != is_tensor(self.boxes):
                raise ValueError(f"instances.{name}: need arrays of one library, got {type(values).__name__}")
            if is_tensor(values) and values.device != self.boxes.device:
                raise ValueError(
                    f"instances: need one device, got boxes on {self.boxes.device}, {name} on {values.device}"
                )
        if self.masks is not None and len(self.masks) != len(self.boxes):
            raise ValueError(f"instances.masks: need one for each of {len(self.boxes)} boxes, got {len(self.masks)}")

    @classmethod
    def empty(cls, kind: BoxKind, points: int = 0) -> Instances:
        """Returns a record without objects, with numpy arrays.

        Args:
            kind: Kind of the boxes.
            points: Number of points of a box, for ``"points"``.
        """
        return cls(np.zeros((0, width(kind, 2 * points or 2))), kind, np.zeros(0, np.int64))

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, which: Any) -> Instances:
        """Selects objects by a slice, indices (M,) or a mask (N,) bool."""
        if isinstance(which, int):
            raise TypeError(
                f"instances: select by a slice, indices or a mask, such as [{which}:{which + 1}]; got {which}"
            )
        fields = {name: values[which] for name, values in self._arrays()}
        masks = None if self.masks is None else self.masks[which]
        return replace(self, **fields, masks=masks)

    @property
    def hboxes(self) -> Any:
        """Upright boxes (N, 4) around the objects."""
        return rotx_boxes.convert(self.boxes, self.kind, "hbox")

    @property
    def rboxes(self) -> Any:
        """Rotated boxes (N, 5) around the objects."""
        return rotx_boxes.convert(self.boxes, self.kind, "rbox")

    @property
    def quads(self) -> Any:
        """Corners (N, 8) of the objects."""
        return rotx_boxes.convert(self.boxes, self.kind, "quad")

    @property
    def file_masks(self) -> Masks | None:
        """The masks as polygons or RLE, as files hold them; None if there are none.

        Raises:
            ValueError: For masks of another form.
        """
        if not isinstance(self.masks, Masks | None):
            raise ValueError(f"instances.masks: need polygons or run lengths, got {type(self.masks).__name__}")
        return self.masks

    def convert(self, kind: BoxKind) -> Instances:
        """Returns the objects with boxes of another kind; see `rotx.boxes.convert`."""
        if kind == self.kind:
            return self
        return replace(self, boxes=rotx_boxes.convert(self.boxes, self.kind, kind), kind=kind)

    def move(self, matrix: ArrayLike) -> Instances:
        """Returns the objects after their image was moved by a matrix (3, 3); see `rotx.boxes.move`."""
        masks = None if self.masks is None else self.masks.move(matrix)
        return replace(self, boxes=rotx_boxes.move(self.boxes, self.kind, matrix), masks=masks)

    def paste(self, height: int, width: int) -> Instances:
        """Returns the objects with masks within boxes converted to RLE of an image of this size."""
        if not isinstance(self.masks, BoxMasks):
            return self
        here = self.numpy()
        return replace(self, masks=cast("BoxMasks", here.masks).paste(here.hboxes, height, width))

    def to(self, device: Any) -> Instances:
        """Returns the objects as torch tensors on a device; boxes and scores keep their dtype."""
        import torch

        def place(values: Any) -> Any:
            return torch.as_tensor(values).to(device, non_blocking=True)

        return self._map(place)

    def pin_memory(self) -> Instances:
        """Returns the objects with tensors in pinned memory, for asynchronous copies to a GPU."""
        return self._map(lambda values: values.pin_memory())

    def numpy(self) -> Instances:
        """Returns the objects as numpy arrays; bfloat16 becomes float32."""

        def place(values: Any) -> Any:
            if not is_tensor(values):
                return values
            values = values.detach().cpu()
            return (values.float() if "bfloat16" in str(values.dtype) else values).numpy()

        return self._map(place)

    def _map(self, function: Callable[[Any], Any]) -> Instances:
        masks = None if self.masks is None else self.masks.map(function)
        return replace(self, **{name: function(values) for name, values in self._arrays()}, masks=masks)

    def _arrays(self) -> Iterator[tuple[str, Any]]:
        """Yields the array fields by name."""
        yield "boxes", self.boxes
        yield "labels", self.labels
        for name in _OPTIONAL:
            values = getattr(self, name)
            if values is not None:
                yield name, values


def concatenate(parts: Sequence[Instances]) -> Instances:
    """Concatenates records with boxes of one kind.

    No object is ignored, or difficult, in a part that does not say so.

    Raises:
        ValueError: For an empty list, parts of different kinds, or if only some parts with objects have scores or
            masks, or masks of different forms.
    """
    kinds = {part.kind for part in parts}
    if len(kinds) != 1:
        raise ValueError(f"instances: need parts of one kind, got {', '.join(sorted(kinds)) or 'none'}")
    xp = namespace(parts[0].boxes)
    fields: dict[str, Any] = {
        name: xp.concatenate([getattr(part, name) for part in parts]) for name in ("boxes", "labels")
    }
    for name in _OPTIONAL:
        values = [getattr(part, name) for part in parts]
        known = next((value for value in values if value is not None), None)
        if known is None:
            continue
        if name == "scores" and any(value is None and len(part) for value, part in zip(values, parts, strict=True)):
            raise ValueError("instances: some parts have scores, others have none")
        filled = [
            xp.zeros_like(part.labels, dtype=known.dtype) if value is None else value
            for value, part in zip(values, parts, strict=True)
        ]
        fields[name] = xp.concatenate(filled)
    return Instances(kind=parts[0].kind, masks=_joined_masks(parts), **fields)


def _joined_masks(parts: Sequence[Instances]) -> Masks | Bitmaps | BoxMasks | None:
    """Concatenates the masks of parts; parts without objects may lack them."""
    having: list[Any] = [part.masks for part in parts if len(part)] or [part.masks for part in parts]
    forms = {type(masks) for masks in having}
    if len(forms) > 1:
        names = ", ".join(sorted("no masks" if form is type(None) else form.__name__ for form in forms))
        raise ValueError(f"instances: need masks of one form in all parts, got {names}")
    return None if having[0] is None else type(having[0]).concatenate(having)
