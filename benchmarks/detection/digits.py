"""Handwritten digits in the place of larger sets of images."""

import torch
from sklearn.datasets import load_digits
from torch.nn.functional import interpolate

from benchmarks.detection.data import Data, Examples, split


def digits(
    seed: int, side: int = 8, brightest: float = 1.0, coloured: bool = False, flat: bool = False
) -> Data:
    """1,797 digits, (N, 1, side, side), from 0 to `brightest`.

    Coloured ones have three channels, each digit a colour of its own; flat ones are rows of pixels.
    """
    table = load_digits()
    images = torch.tensor(table.images, dtype=torch.float32).unsqueeze(1) / 16
    if side != 8:
        images = interpolate(images, (side, side), mode="bilinear")
    if coloured:
        draw = torch.Generator().manual_seed(seed)
        images = images * (0.4 + 0.6 * torch.rand(len(images), 3, 1, 1, generator=draw))
    images = brightest * images
    return split(Examples(images.flatten(1) if flat else images, torch.tensor(table.target)), seed)
