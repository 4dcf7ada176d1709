"""A text of 90,000 characters, made by make_text.py, cut into windows of 48 characters.
The target is the same window one character on. The last sixth of the text is for validation;
training windows overlap by half, validation windows do not, and none straddles the border.
"""

from functools import cache
from pathlib import Path

import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

FILE = Path(__file__).resolve().parent / "text.txt"
CONTEXT = 48
BATCH_SIZE = 32


@cache
def splits() -> tuple[TensorDataset, TensorDataset]:
    """The training and the validation examples."""
    text = FILE.read_text()
    numbers = {character: number for number, character in enumerate(sorted(set(text)))}
    encoded = torch.tensor([numbers[character] for character in text])
    border = len(encoded) * 5 // 6
    return windows(encoded[:border], CONTEXT // 2), windows(encoded[border:], CONTEXT)


def windows(encoded: Tensor, step: int) -> TensorDataset:
    """Pairs of a window and the window one character on, every `step` characters."""
    cut = encoded.unfold(0, CONTEXT + 1, step)
    return TensorDataset(cut[:, :-1], cut[:, 1:])


def train_loader() -> DataLoader[tuple[Tensor, ...]]:
    """Shuffled batches of the size used in training."""
    return DataLoader(splits()[0], batch_size=BATCH_SIZE, shuffle=True)


def val_loader() -> DataLoader[tuple[Tensor, ...]]:
    """Batches in a fixed order."""
    return DataLoader(splits()[1], batch_size=64)
