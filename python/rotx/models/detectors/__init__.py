"""Detectors: a backbone, a neck and heads; one file for each kind."""

from rotx.models.detectors.detector import Detector, Losses, total_loss
from rotx.models.detectors.single_stage import SingleStage
from rotx.models.detectors.two_stage import TwoStage

__all__ = ["Detector", "Losses", "SingleStage", "TwoStage", "total_loss"]
