"""Detectors: a backbone, a neck and heads; one file per kind."""

from rotx.models.detectors.detector import Detector, Losses, total_loss
from rotx.models.detectors.query import Query
from rotx.models.detectors.refine import Refine
from rotx.models.detectors.single_stage import SingleStage
from rotx.models.detectors.two_stage import TwoStage
from rotx.models.detectors.views import Views

__all__ = ["Detector", "Losses", "Query", "Refine", "SingleStage", "TwoStage", "Views", "total_loss"]
