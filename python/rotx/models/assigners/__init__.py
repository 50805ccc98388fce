"""Assigners: they decide which prior is trained towards which object."""

from rotx.models.assigners.assignment import Assigner, Assignment, Predictions

__all__ = ["Assigner", "Assignment", "Predictions"]
