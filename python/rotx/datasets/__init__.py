"""Datasets: images with their objects, transforms, samplers and the loader."""
