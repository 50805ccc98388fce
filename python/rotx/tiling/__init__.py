"""Cutting images into windows and merging results on windows, by one set of rules. Needs no torch."""
