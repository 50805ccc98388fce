"""Heads that look again at regions of interest (RoIs)."""
