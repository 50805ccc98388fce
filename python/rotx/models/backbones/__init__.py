"""Backbones: images → feature maps of several strides, with ``out_channels`` to size what follows."""
