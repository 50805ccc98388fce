"""Converts images to a batch: colour order, normalisation, padding."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rotx.models.structures import Batch


class DetDataPreprocessor(nn.Module):
    """Normalises images and pads them at the right and bottom to a common size.

    Padding uses the size of the largest image, rounded up to a multiple of ``pad_size_divisor``.

    Args:
        mean: Mean of each channel, after the conversion to RGB.
        std: Standard deviation of each channel, in the same order.
        bgr_to_rgb: Whether to convert the images from BGR, OpenCV's order, to RGB.
        pad_size_divisor: Height and width are padded to multiples of this number of pixels.
        pad_value: Value of the padding, after normalisation.
    """

    mean: Tensor
    std: Tensor

    def __init__(
        self,
        *,
        mean: Sequence[float] = (0.0, 0.0, 0.0),
        std: Sequence[float] = (1.0, 1.0, 1.0),
        bgr_to_rgb: bool = False,
        pad_size_divisor: int = 1,
        pad_value: float = 0.0,
    ) -> None:
        super().__init__()
        if len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise ValueError(f"mean and std: need three numbers each, std above 0, got {mean} and {std}")
        if pad_size_divisor < 1:
            raise ValueError(f"pad_size_divisor: need at least 1, got {pad_size_divisor}")
        self.register_buffer("mean", torch.tensor(mean, dtype=torch.float32).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std, dtype=torch.float32).view(3, 1, 1), persistent=False)
        self.bgr_to_rgb = bgr_to_rgb
        self.pad_size_divisor = pad_size_divisor
        self.pad_value = pad_value

    def forward(self, images: Sequence[Tensor]) -> Batch:
        """Converts images to a batch.

        Args:
            images: Tensors (3, H, W) of any size and dtype, with values 0..255.

        Raises:
            ValueError: If there is no image, or one has a wrong shape.
        """
        if not images:
            raise ValueError("images: need at least one")
        for i, image in enumerate(images):
            if image.dim() != 3 or image.shape[0] != 3 or 0 in image.shape:
                raise ValueError(f"images[{i}]: need shape (3, H, W), got {tuple(image.shape)}")
        sizes = [(int(image.shape[1]), int(image.shape[2])) for image in images]
        step = self.pad_size_divisor
        pad_sizes = [(-(-h // step) * step, -(-w // step) * step) for h, w in sizes]
        height, width = max(h for h, _ in pad_sizes), max(w for _, w in pad_sizes)
        batch = self.mean.new_full((len(images), 3, height, width), self.pad_value)
        for into, image, (h, w) in zip(batch, images, sizes, strict=True):
            values = image.to(self.mean)
            into[:, :h, :w] = ((values.flip(0) if self.bgr_to_rgb else values) - self.mean) / self.std
        return Batch(batch, sizes, pad_sizes)
