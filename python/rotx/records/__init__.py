"""Records of objects and images, used from the first line of a label file to the last line of a result file.

`Instances` are the objects of one image, `ImageRecord` describes one image, `InstanceTable` holds a whole dataset as
arrays. Arrays are numpy arrays or torch tensors; none of these records needs torch.
"""

from rotx.records.bitmaps import Bitmaps
from rotx.records.box_masks import BoxMasks
from rotx.records.image import ImageRecord, Window
from rotx.records.instances import Instances, concatenate
from rotx.records.masks import Masks
from rotx.records.problems import FileProblem
from rotx.records.table import InstanceTable

__all__ = [
    "Bitmaps",
    "BoxMasks",
    "FileProblem",
    "ImageRecord",
    "InstanceTable",
    "Instances",
    "Masks",
    "Window",
    "concatenate",
]
