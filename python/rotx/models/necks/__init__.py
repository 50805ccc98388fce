"""Necks: feature maps of a backbone → feature maps with equal numbers of channels for the heads."""
