"""Samplers: which of the assigned priors a head is trained with."""

from rotx.models.samplers.sampler import PriorSampler, SampledPriors

__all__ = ["PriorSampler", "SampledPriors"]
