"""The colours of grids: two ramps that stay apart for every common kind of colour blindness."""

import sys

import numpy as np

from auditor.core.values import Array

SEQUENTIAL = (
    "#00224e #083370 #35456c #4f576c #666970 #7d7c78 #948e77 #aea371 #c8b866 #e5cf52 #fee838"
)
"""Dark blue to yellow, evenly brighter: eleven of the colours of cividis (Nuñez et al. 2018)."""
DIVERGING = "#0a3a75 #2e72b0 #7fb0d8 #cfe2f0 #f7f6f3 #fbdcb6 #eda45c #c96a16 #7d3504"
"""Blue below zero over white to orange above."""
UNKNOWN = "#969696"
LARGEST = sys.float_info.max


class Ramp:
    """Colours for values from `low` to `high`; with both signs about zero it reaches both ways."""

    def __init__(self, low: float, high: float) -> None:
        stops = SEQUENTIAL
        if low < 0 < high:
            high = max(-low, high)
            low, stops = -high, DIVERGING
        elif high / 2 - low / 2 <= 1e-12 * max(abs(low), abs(high), 1e-200):
            low, high = low - 0.4 * (abs(low) or 1), high + 0.4 * (abs(high) or 1)
        self.low, self.high = max(low, -LARGEST), min(high, LARGEST)
        self._stops = np.array([_channels(stop) for stop in stops.split()], dtype=np.float64)

    @property
    def middle(self) -> float:
        """Return the value in the middle of the ramp."""
        return self.low / 2 + self.high / 2

    def pixels(self, values: Array) -> Array:
        """Return the colours of an array, its last axis red, green and blue of 8 bits."""
        known = np.isfinite(values)
        # Halves, since the largest numbers differ by more than there are numbers.
        above = np.where(known, values, self.low) / 2 - self.low / 2
        share = above / (self.high / 2 - self.low / 2)
        place = np.clip(share, 0.0, 1.0) * (len(self._stops) - 1)
        ends = np.arange(len(self._stops))
        channels = [np.interp(place, ends, self._stops[:, channel]) for channel in range(3)]
        pixels = np.stack(channels, axis=-1).round().astype(np.uint8)
        pixels[~known] = _channels(UNKNOWN)
        return pixels


def hexadecimal(pixel: Array) -> str:
    """Return a colour as it is written in SVG."""
    return "#{:02x}{:02x}{:02x}".format(*map(int, pixel))


def is_bright(pixel: Array) -> bool:
    """Return whether dark letters are read better than light ones on a colour."""
    red, green, blue = map(float, pixel)
    return 0.3 * red + 0.59 * green + 0.11 * blue > 140


def _channels(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)
