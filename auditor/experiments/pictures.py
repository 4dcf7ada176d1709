"""Inputs as PNG files, small enough for a report."""

import base64

import numpy as np
import torch

from auditor.core.png import png
from auditor.core.values import Array

SIDE = 96
"""Pixels that the longer side has at least after enlarging, and at most after thinning out."""


def picture(values: torch.Tensor) -> str | None:
    """Return an input [1 or 3, height, width] as a PNG in base64; None where it is no image.

    Its smallest value is black and its largest white.
    """
    if values.ndim != 3 or values.shape[0] not in (1, 3) or min(values.shape[1:]) < 4:
        return None
    pixels = values.detach().float().cpu().nan_to_num(0.0, 0.0, 0.0).movedim(0, -1).numpy()
    low, high = float(pixels.min()), float(pixels.max())
    scaled = (pixels - low) / (high - low) * 255 if high > low else np.zeros_like(pixels)
    return base64.b64encode(png(_sized(scaled.round().astype(np.uint8)))).decode("ascii")


def _sized(pixels: Array) -> Array:
    longest = max(pixels.shape[:2])
    step = -(-longest // SIDE)
    thin = pixels[::step, ::step]
    times = max(1, SIDE // max(thin.shape[:2]))
    return thin.repeat(times, axis=0).repeat(times, axis=1)
