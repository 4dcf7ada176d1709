"""The UCI handwritten digits: 1,797 images of 8 x 8 pixels, values 0 to 16, ten classes.
1,347 are for training, 450 for validation, chosen by a seeded shuffle.
Pixels are left as they are, 0 to 16: that is one of this sample's faults.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

FILE = Path(__file__).resolve().parent / "digits.npz"
TRAINING = 1347
BATCH_SIZE = 32


@cache
def splits() -> tuple[TensorDataset, TensorDataset]:
    """The training and the validation examples."""
    with np.load(FILE) as file:
        images = file["images"].astype(np.float32)[:, None]
        labels = file["labels"].astype(np.int64)
    order = np.random.default_rng(0).permutation(len(labels))
    train, val = order[:TRAINING], order[TRAINING:]
    return dataset(images[train], labels[train]), dataset(images[val], labels[val])


def dataset(*columns: np.ndarray) -> TensorDataset:
    """Arrays of equal length as one dataset."""
    return TensorDataset(*map(torch.from_numpy, columns))


def train_loader() -> DataLoader[tuple[Tensor, ...]]:
    """Shuffled batches of the size used in training."""
    return DataLoader(splits()[0], batch_size=BATCH_SIZE, shuffle=True)


def val_loader() -> DataLoader[tuple[Tensor, ...]]:
    """Batches in a fixed order."""
    return DataLoader(splits()[1], batch_size=64)
