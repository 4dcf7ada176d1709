"""What each example of a batch is known by: a hash over its inputs and its target."""

import hashlib

import numpy as np
import torch

from auditor.core.values import Array
from auditor.intake.batches import Batch, tensors_in

MODULUS = 1 << 128


def digests(batch: Batch) -> list[bytes]:
    """Return a hash of each example, 16 bytes.

    Zeros at the end of a row are left aside: how far examples are filled up depends on the others
    in their batch, and so on the order.
    """
    size, whole = batch.size, batch.padded()
    tensors = [
        tensor.detach().cpu().movedim(axis, 0).reshape(size, -1).contiguous()
        for tensor in tensors_in((whole.args, whole.kwargs, whole.target))
        if tensor.layout is torch.strided
        and tensor.numel()
        and (axis := whole.axis(tensor)) is not None
    ]
    views = [rows.view(torch.uint8).numpy() for rows in tensors]
    found = []
    for row in range(size):
        digest = hashlib.blake2b(digest_size=16)
        for view in views:
            content = view[row].tobytes().rstrip(b"\0")
            digest.update(len(content).to_bytes(8))
            digest.update(content)
        found.append(digest.digest())
    return found


def summed(parts: list[bytes]) -> int:
    """Return the sum of hashes, so that their order does not count."""
    return sum(map(int.from_bytes, parts)) % MODULUS


def shortened(parts: list[bytes]) -> Array:
    """Return the first eight bytes of each hash, [examples] of uint64."""
    return np.frombuffer(b"".join(part[:8] for part in parts), ">u8").astype(np.uint64)
