"""Training: the loop, schedules, optimizers, EMA and checkpoints."""

from rotx.engine.failed import StepFailed
from rotx.engine.guard import NotFinite
from rotx.engine.setup import train
from rotx.engine.signals import Interrupted
from rotx.engine.trainer import Trainer

__all__ = ["Interrupted", "NotFinite", "StepFailed", "Trainer", "train"]
