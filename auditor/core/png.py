"""Arrays as PNG files in base64, as `Image` wants them; the same array gives the same bytes."""

import base64
import struct
import zlib

import numpy as np

from auditor.core.values import Array

_ANCHORS = np.array([-1.0, -0.5, 0.0, 0.5, 1.0])
_COLOURS = np.array(
    [(5, 48, 97), (67, 147, 195), (247, 247, 247), (214, 96, 77), (103, 0, 31)], dtype=np.float64
)
"""Blue over white to red: five of the colours of ColorBrewer's RdBu, which readers of every common
kind of colour blindness tell apart."""
_NOT_FINITE = (150, 150, 150)


def grey(array: Array, scale: int = 1) -> str:
    """Return values [height, width] as a picture: 0 is black, 1 is white, NaN is black.

    Values beyond [0, 1] are clipped. Each value becomes a square of `scale` pixels a side.
    """
    if array.ndim != 2:
        raise ValueError(f"a grey picture has [height, width] values, not {list(array.shape)}")
    return _encoded(_bytes(array)[:, :, None], scale)


def colour(array: Array, scale: int = 1) -> str:
    """Return values [height, width, 3], red, green and blue in [0, 1], as a picture."""
    if array.ndim != 3 or array.shape[2] != 3:
        raise ValueError(f"a colour picture has [height, width, 3] values, not {list(array.shape)}")
    return _encoded(_bytes(array), scale)


def diverging(array: Array, scale: int = 1, limit: float | None = None) -> str:
    """Return signed values [height, width] in blue (below zero), white (zero) and red (above).

    The colours are full at plus and minus `limit`, in the units of the values; without one, at the
    largest finite magnitude. NaN is grey; an infinity has the full colour of its sign.
    """
    if array.ndim != 2:
        raise ValueError(f"a picture has [height, width] values, not {list(array.shape)}")
    values = array.astype(np.float64)
    if limit is None:
        limit = float(np.abs(values[np.isfinite(values)]).max(initial=0.0))
    share = np.clip(values / limit, -1, 1) if limit > 0 else np.sign(values)
    channels = [np.interp(np.nan_to_num(share), _ANCHORS, _COLOURS[:, i]) for i in range(3)]
    pixels = np.stack(channels, axis=2).round().astype(np.uint8)
    pixels[np.isnan(values)] = _NOT_FINITE
    return _encoded(pixels, scale)


def png(pixels: Array) -> bytes:
    """Return pixels [height, width, 1 or 3] of 8 bits as a PNG file (ISO/IEC 15948)."""
    height, width, channels = pixels.shape
    # Each row starts with its filter: 0, none.
    rows = np.concatenate(
        [np.zeros((height, 1), np.uint8), pixels.reshape(height, -1)], axis=1
    ).tobytes()
    header = struct.pack(">IIBBBBB", width, height, 8, 2 if channels == 3 else 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows, 9)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(kind, data) for kind, data in chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _bytes(array: Array) -> Array:
    values = np.nan_to_num(array.astype(np.float64), nan=0.0)
    return (np.clip(values, 0, 1) * 255).round().astype(np.uint8)


def _encoded(pixels: Array, scale: int) -> str:
    if 0 in pixels.shape or scale < 1:
        raise ValueError("a picture needs at least one value and a scale of at least 1")
    enlarged = pixels.repeat(scale, axis=0).repeat(scale, axis=1)
    return base64.b64encode(png(enlarged)).decode("ascii")
