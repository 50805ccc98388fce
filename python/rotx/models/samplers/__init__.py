"""Samplers: they select the assigned priors that train a head."""

from rotx.models.samplers.sampler import PriorSampler, SampledPriors

__all__ = ["PriorSampler", "SampledPriors"]
