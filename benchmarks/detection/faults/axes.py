"""Axes of sequences that are taken for one another."""

from dataclasses import replace

import torch
from torch import nn

from benchmarks.detection.fault import Planted, fault
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.zoo.sequences import NameGRU, RowLSTM

LEAKS = ("examples-leak-across-batch",)


class ViewedLSTM(RowLSTM):
    """An LSTM that wants time first, and is given it by a view instead of a transpose."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 32)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        count, steps, width = rows.shape
        states, _ = self.lstm(rows.reshape(steps, count, width))
        logits: torch.Tensor = self.head(states[-1])
        return logits


class TimeFirstLSTM(RowLSTM):
    """An LSTM that takes the batch for time."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, 32)


class TimeFirstGRU(NameGRU):
    """A GRU that takes the batch for time."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(16, 32)


@fault("model", LEAKS, ("row_lstm",))
def view_for_transpose(recipe: Recipe, seed: int) -> Planted:
    """Time is brought to the front by a view, which mixes the examples."""
    return Planted(replace(recipe, build=ViewedLSTM), places=("lstm",))


@fault("model", LEAKS, ("name_gru", "row_lstm"))
def batch_first_missing(recipe: Recipe, seed: int) -> Planted:
    """A layer that wants time first is given the batch first."""
    if recipe.family == "name_gru":
        return Planted(replace(recipe, build=TimeFirstGRU), places=("gru",))
    return Planted(replace(recipe, build=TimeFirstLSTM), places=("lstm",))
