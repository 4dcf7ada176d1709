"""Pictures from a record, looked at before a browser is given them."""

import base64
import binascii
import struct
from dataclasses import dataclass

from auditor.core.figure import Image
from auditor.report.wording import prose

LARGEST = 4_000_000
"""Bytes of the largest picture that is shown."""
MOST_PIXELS = 16_000_000
_SIGNATURE = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class ImageView:
    """A picture with its caption, or the reason why it is not shown."""

    caption: str
    source: str = ""
    problem: str = ""
    small: bool = False


def shown_image(image: Image) -> ImageView:
    """Return a picture as a data address, if it is a PNG of a bearable size."""
    caption = prose(image.caption, 200)
    try:
        data = base64.b64decode(image.png, validate=True)
    except (binascii.Error, ValueError):
        return ImageView(caption, problem="not valid base64")
    if len(data) > LARGEST:
        return ImageView(caption, problem=f"larger than {LARGEST:,} bytes")
    if len(data) < 24 or not data.startswith(_SIGNATURE):
        return ImageView(caption, problem="not a PNG file")
    width, height = struct.unpack(">II", data[16:24])
    if not 0 < width * height <= MOST_PIXELS:
        return ImageView(caption, problem=f"{width:,} × {height:,} pixels")
    text = base64.b64encode(data).decode("ascii")
    return ImageView(caption, f"data:image/png;base64,{text}", small=max(width, height) < 128)
