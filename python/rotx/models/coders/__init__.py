"""Coders: convert boxes to regression targets relative to priors, and back; and encode angles.

``encode(priors, gts)`` returns the targets, ``decode(priors, deltas)`` the boxes, both row by row; ``encode_size`` is
the number of values per box. The gts may have any angle version. Boxes without area give finite values: see `deltas`.
The arithmetic is that of MMDetection's and MMRotate's coders of the same names.
"""
