"""Transforms of images and their objects before a detector sees them."""
