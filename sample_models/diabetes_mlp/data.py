"""The diabetes study of Efron et al. (2004): 442 patients, ten features, progression in a year.
300 are for training, 142 for validation, chosen by a seeded shuffle.
Features and target are standardised with the training patients' means and deviations.
"""

from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

FILE = Path(__file__).resolve().parent / "diabetes.npz"
TRAINING = 300
BATCH_SIZE = 20


@cache
def splits() -> tuple[TensorDataset, TensorDataset]:
    """The training and the validation examples."""
    with np.load(FILE) as file:
        columns = np.hstack([file["features"], file["progression"][:, None]])
    order = np.random.default_rng(0).permutation(len(columns))
    train, val = order[:TRAINING], order[TRAINING:]
    columns = (columns - columns[train].mean(axis=0)) / columns[train].std(axis=0)
    return dataset(columns[train]), dataset(columns[val])


def dataset(columns: np.ndarray) -> TensorDataset:
    """The last column is the target, the others are the features."""
    return TensorDataset(torch.from_numpy(columns[:, :-1]), torch.from_numpy(columns[:, -1:]))


def train_loader() -> DataLoader[tuple[Tensor, ...]]:
    """Shuffled batches of the size used in training."""
    return DataLoader(splits()[0], batch_size=BATCH_SIZE, shuffle=True)


def val_loader() -> DataLoader[tuple[Tensor, ...]]:
    """Batches in a fixed order."""
    return DataLoader(splits()[1], batch_size=64)
