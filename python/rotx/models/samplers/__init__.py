"""Samplers: which of the assigned priors a head is trained with."""

from rotx.models.samplers.sampler import Sampler, Samples

__all__ = ["Sampler", "Samples"]
