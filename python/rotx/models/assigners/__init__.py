"""Assigners: which prior is trained towards which object."""
