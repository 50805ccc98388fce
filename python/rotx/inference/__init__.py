"""Detectors at work: load one and find the objects of images."""

from rotx.inference.loading import load
from rotx.inference.predictor import Prediction, Predictor

__all__ = ["Prediction", "Predictor", "load"]
