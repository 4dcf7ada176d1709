"""Safetensors files written byte by byte, with any header at all."""

import json
import struct
from typing import Any


def safetensors(
    tensors: dict[str, tuple[str, tuple[int, ...], bytes]], metadata: Any = None
) -> bytes:
    """Return a sound file: by name the type, shape and bytes of each tensor."""
    header: dict[str, Any] = {} if metadata is None else {"__metadata__": metadata}
    data = b""
    for name, (kind, shape, values) in tensors.items():
        offsets = [len(data), len(data) + len(values)]
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": offsets}
        data += values
    return with_header(json.dumps(header).encode(), data)


def with_header(header: bytes, data: bytes = b"", length: int | None = None) -> bytes:
    """Return a file of any header, which claims to be as long as it is unless told otherwise."""
    return struct.pack("<Q", len(header) if length is None else length) + header + data
