"""Coders: what a head regresses for a box seen from its prior, and back; and codes of angles.

``encode(priors, gts)`` gives the targets, ``decode(priors, deltas)`` the boxes, both row by row;
``encode_size`` is the number of values a box. gts may be written in any way, in any angle version. Boxes
without area give finite values: see `deltas`. The arithmetic is that of MMDetection's and MMRotate's coders of
the same names.
"""
