"""Detectors at work: load one and find the objects of images."""

from rotx.inference.predictor import Prediction, Predictor, load

__all__ = ["Prediction", "Predictor", "load"]
