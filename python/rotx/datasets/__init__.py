"""Datasets: images with their objects, transforms, samplers and the data loader."""
