"""Scene text datasets."""

from __future__ import annotations

from typing import Any

from rotx.annotations.classes import CLASSES_OF
from rotx.datasets.dota import DOTADataset


class TextDataset(DOTADataset):
    """Scene text datasets ICDAR 2015 and MSRA-TD500; one class, ``text``.

    Illegible text (``###``, or difficulty 1) is ignored in training and evaluation, unless ``diff_thr`` is set higher.

    Args:
        **kwargs: Keywords of :class:`rotx.datasets.file_dataset.FileDataset`.
    """

    own_classes = CLASSES_OF["TextDataset"]

    def __init__(self, *, diff_thr: int = 0, **kwargs: Any) -> None:
        super().__init__(diff_thr=diff_thr, **kwargs)
