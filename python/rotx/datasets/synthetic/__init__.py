"""Made-up aerial scenes of ships, planes, vehicles and storage tanks, written as a DOTA-style set. Needs no torch.

The demo and the tests learn from it. Pixels and annotations depend on the seed alone: an image is the same
whatever the number of images, and on every machine.
"""

from rotx.datasets.synthetic.objects import CLASSES
from rotx.datasets.synthetic.scene import Scene, make_scene
from rotx.datasets.synthetic.write import write_dataset

__all__ = ["CLASSES", "Scene", "make_scene", "write_dataset"]
