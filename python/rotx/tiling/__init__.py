"""Cutting images into windows and joining what was found in them: one rule set. Needs no torch."""
