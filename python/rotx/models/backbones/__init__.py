"""Backbones: images → feature maps of several strides; ``out_channels`` gives their numbers of channels."""
