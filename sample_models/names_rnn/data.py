"""3,200 invented names from five invented languages, each name once; see make_names.py.
2,560 are for training, 640 for validation, chosen by a seeded shuffle.
Letters are numbered from 1, and names are padded with zeros to the longest, twelve letters.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

FILE = Path(__file__).resolve().parent / "names.txt"
LONGEST = 12
TRAINING = 2560
BATCH_SIZE = 32


@cache
def splits() -> tuple[TensorDataset, TensorDataset]:
    """The training and the validation examples."""
    names, languages = zip(
        *(line.split(",") for line in FILE.read_text().splitlines()), strict=True
    )
    letters = np.stack([encode(name) for name in names])
    labels = np.unique(languages, return_inverse=True)[1]
    order = np.random.default_rng(0).permutation(len(labels))
    train, val = order[:TRAINING], order[TRAINING:]
    return dataset(letters[train], labels[train]), dataset(letters[val], labels[val])


def encode(name: str) -> np.ndarray:
    """Letter numbers, padded with zeros."""
    numbers = [ord(letter) - ord("a") + 1 for letter in name]
    return np.pad(np.array(numbers, dtype=np.int64), (0, LONGEST - len(name)))


def dataset(*columns: np.ndarray) -> TensorDataset:
    """Arrays of equal length as one dataset."""
    return TensorDataset(*map(torch.from_numpy, columns))


def train_loader() -> DataLoader[tuple[Tensor, ...]]:
    """Shuffled batches of the size used in training."""
    return DataLoader(splits()[0], batch_size=BATCH_SIZE, shuffle=True)


def val_loader() -> DataLoader[tuple[Tensor, ...]]:
    """Batches in a fixed order."""
    return DataLoader(splits()[1], batch_size=64)
