"""Necks: feature maps of a backbone → feature maps of one width for the heads."""
