"""Examples of a subject, in memory."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader, TensorDataset


@dataclass(frozen=True)
class Examples:
    """Inputs and target, one row an example; inputs of a model that takes several are a tuple."""

    inputs: torch.Tensor | tuple[torch.Tensor, ...]
    target: torch.Tensor

    def __len__(self) -> int:
        return len(self.target)

    @property
    def tensor(self) -> torch.Tensor:
        """Return the inputs of a model that takes one tensor."""
        assert isinstance(self.inputs, torch.Tensor)
        return self.inputs

    def with_inputs(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Examples":
        """Return the same examples with their one tensor of inputs changed."""
        return Examples(change(self.tensor), self.target)

    def rows(self, rows: torch.Tensor) -> "Examples":
        """Return some of the examples."""
        if isinstance(self.inputs, tuple):
            return Examples(tuple(part[rows] for part in self.inputs), self.target[rows])
        return Examples(self.inputs[rows], self.target[rows])

    def loader(self, batch_size: int, shuffle: bool) -> DataLoader[Any]:
        """Return a loader of batches `(inputs, target)`."""
        several = isinstance(self.inputs, tuple)
        parts = self.inputs if several else (self.inputs,)

        def joined(rows: list[tuple[torch.Tensor, ...]]) -> tuple[object, torch.Tensor]:
            *inputs, target = (torch.stack(column) for column in zip(*rows, strict=True))
            return (tuple(inputs) if several else inputs[0]), target

        dataset = TensorDataset(*parts, self.target)
        return DataLoader(dataset, batch_size, shuffle=shuffle, collate_fn=joined)


@dataclass(frozen=True)
class Data:
    """The examples that a model learns from, and those that it is judged by."""

    train: Examples
    val: Examples

    def with_inputs(self, change: Callable[[torch.Tensor], torch.Tensor]) -> "Data":
        """Return the same data with the inputs of both parts changed."""
        return Data(self.train.with_inputs(change), self.val.with_inputs(change))


def split(examples: Examples, seed: int, share: float = 0.7) -> Data:
    """Return a random `share` of the examples to learn from, and the rest to be judged by."""
    order = torch.randperm(len(examples), generator=torch.Generator().manual_seed(seed))
    cut = round(share * len(examples))
    return Data(examples.rows(order[:cut]), examples.rows(order[cut:]))


def standardised(data: Data) -> Data:
    """Return the data with every feature at mean 0 and deviation 1 over the training examples."""
    mean, deviation = data.train.tensor.mean(0), data.train.tensor.std(0).clamp_min(1e-6)
    return data.with_inputs(lambda inputs: (inputs - mean) / deviation)
