"""Detectors and what they are made of: backbones, necks, heads, targets, losses; and reading checkpoints.

Needs torch; `rotx.registry` imports the modules here one by one, when a config first names them.
"""

from rotx.models.checkpoints import LoadReport, load_checkpoint

__all__ = ["LoadReport", "load_checkpoint"]
