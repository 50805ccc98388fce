"""Priors: the anchors and points of feature grids, level by level, from which heads predict boxes."""
