"""Samplers: which of the assigned priors a head is trained with."""
