"""Synthetic aerial scenes of ships, planes, vehicles and storage tanks, written in DOTA format. Needs no torch.

The demo and the tests train on it. Pixels and annotations depend only on the seed: an image is the same whatever the
number of images, and on every machine.
"""

from rotx.datasets.synthetic.objects import CLASSES
from rotx.datasets.synthetic.scene import Scene, make_scene
from rotx.datasets.synthetic.write import write_dataset

__all__ = ["CLASSES", "Scene", "make_scene", "write_dataset"]
