"""The 891 labelled passengers of the Titanic, 12 raw features each; a missing age or fare is the
mean of those known. Which of these rows the checkpoint was trained on is not known, so all of
them are given for validation, and none for training.
"""

import csv
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

TABLE = Path(__file__).resolve().parents[5] / "shared/real/titanic.csv"
NUMBERS = ("Age", "SibSp", "Parch", "Fare")
CATEGORIES = {"Sex": ("female", "male"), "Embarked": ("C", "Q", "S"), "Pclass": ("1", "2", "3")}


@cache
def passengers() -> TensorDataset:
    with TABLE.open(newline="") as file:
        rows = list(csv.DictReader(file))
    numbers = np.array([[float(row[name] or "nan") for name in NUMBERS] for row in rows])
    numbers = np.where(np.isnan(numbers), np.nanmean(numbers, axis=0), numbers)
    one_hot = np.array(
        [
            [row[name] == value for name, values in CATEGORIES.items() for value in values]
            for row in rows
        ]
    )
    features = np.hstack([numbers, one_hot]).astype(np.float32)
    survived = np.array([int(row["Survived"]) for row in rows])
    return TensorDataset(torch.from_numpy(features), torch.from_numpy(survived))


def val_loader() -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(passengers(), batch_size=100)
