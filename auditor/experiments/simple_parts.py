"""What the simplest models are made of: how they read a batch, and how they answer."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from auditor.intake.batches import tensors_in

CONTEXT = 3
"""Tokens that a hidden layer sees at each position: the one there and those before it."""

EMBEDDED = 16
"""Width of each of these tokens' embedding."""

Read = Callable[[tuple[Any, ...], dict[str, Any]], torch.Tensor]


class Simple(nn.Module):
    """Reads the arguments of the audited model, and answers in the layout of its output."""

    def __init__(self, read: Read, body: nn.Module, finish: nn.Module) -> None:
        super().__init__()
        self.read, self.body, self.finish = read, body, finish

    def forward(self, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return the outputs of a batch."""
        return self.answer(self.read(args, kwargs))

    def answer(self, features: torch.Tensor) -> torch.Tensor:
        """Return the outputs for what `read` gave."""
        outputs: torch.Tensor = self.finish(self.body(features))
        return outputs

    @property
    def parameters_count(self) -> int:
        """Return the number of trainable numbers."""
        return sum(p.numel() for p in self.parameters())


class Flat:
    """Reads all inputs of an example into one row: numbers as they are, tokens as their counts."""

    def __init__(self, axis: int, vocabulary: int, most: int) -> None:
        self.axis, self.words, self.most = axis, min(vocabulary, most), most
        self.counts = False

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        """Return [examples, features]."""
        tensors = list(tensors_in((args, kwargs)))
        size = tensors[0].shape[self.axis]
        rows = []
        for tensor in tensors:
            axis = next((d for d in range(min(2, tensor.ndim)) if tensor.shape[d] == size), None)
            if axis is not None:
                rows.append(self._row(tensor.detach().movedim(axis, 0)))
        return torch.cat(rows, dim=1) if rows else torch.zeros(size, 0)

    def _row(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.layout is not torch.strided:
            tensor = tensor.to_dense()
        if tensor.is_complex():
            tensor = torch.view_as_real(tensor.resolve_conj())
        whole = tensor.dtype in (torch.int64, torch.int32)
        if whole and self.words and tensor.ndim <= 2:
            self.counts = True
            ids = tensor.reshape(len(tensor), -1).long()
            counts = torch.zeros(len(ids), self.words, device=ids.device)
            return counts.scatter_add_(1, ids.remainder(self.words), (ids >= 0).float())
        return self._averaged(tensor.float())

    def _averaged(self, x: torch.Tensor) -> torch.Tensor:
        """Return the values of each example, neighbours averaged where there are too many."""
        if x[0].numel() > self.most:
            if x.ndim >= 4:
                planes = x.flatten(1, -3)
                side = max(1, int(math.sqrt(self.most / planes.shape[1])))
                height, width = (min(side, n) for n in planes.shape[2:])
                x = functional.adaptive_avg_pool2d(planes, (height, width))
            if x[0].numel() > self.most:
                x = functional.adaptive_avg_pool1d(x.reshape(len(x), 1, -1), self.most)
        return x.reshape(len(x), -1)


class Nth:
    """Reads one of the tensors that come example by example, as numbers or as tokens."""

    def __init__(self, number: int, words: int = 0) -> None:
        self.number, self.words = number, words

    def __call__(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor:
        """Return [examples, ...]."""
        tensors = list(tensors_in((args, kwargs)))
        size = tensors[0].shape[0]
        rows = [t for t in tensors if size in t.shape[:2]]
        chosen = rows[self.number].detach()
        return chosen.long().remainder(self.words) if self.words else chosen.float()


class Standardise(nn.Module):
    """Subtracts the mean and divides by the deviation, along one dimension."""

    def __init__(self, features: torch.Tensor, dimension: int) -> None:
        super().__init__()
        others = [d for d in range(features.ndim) if d != dimension]
        wide = features.double()
        mean = wide.mean(others, keepdim=True)
        spread = wide.std(others, correction=0, keepdim=True)
        spread = torch.where(spread > 1e-6 * mean.abs().clamp(min=1e-6), spread, 1.0)
        self.register_buffer("mean", mean.float())
        self.register_buffer("scale", (1 / spread).float())

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the features standardised."""
        result: torch.Tensor = (x - self.mean) * self.scale  # type: ignore[operator]
        return result


class Finish(nn.Module):
    """Brings answers, the classes or numbers last, into the layout and range of the output."""

    def __init__(
        self,
        shape: tuple[int, ...] | None,
        axis: int,
        ending: str,
        numbers: torch.Tensor | None,
        dtype: torch.dtype | None,
    ) -> None:
        super().__init__()
        self.shape, self.axis, self.ending, self.dtype = shape, axis, ending, dtype
        self.register_buffer("mean", None if numbers is None else numbers.float().mean(0))
        spread = None if numbers is None else numbers.float().std(0, correction=0)
        self.register_buffer("spread", None if spread is None else spread.clamp(min=1e-12))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the answers as the loss wants them."""
        if isinstance(self.mean, torch.Tensor) and isinstance(self.spread, torch.Tensor):
            x = x * self.spread + self.mean
        if self.shape is not None:
            x = x.reshape(len(x), *self.shape)
        elif self.axis == 1:
            x = x.movedim(-1, 1)
        axis = self.axis if x.ndim > 1 else 0
        if self.ending == "sigmoid":
            x = torch.sigmoid(x)
        elif self.ending == "softmax":
            x = torch.softmax(x, axis)
        elif self.ending == "log_softmax":
            x = torch.log_softmax(x, axis)
        return x if self.dtype is None else x.to(self.dtype)


class ChannelsLast(nn.Module):
    """A network over [examples, channels, *places] whose answers have the channels last."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the answers."""
        result: torch.Tensor = self.body(x).movedim(1, -1)
        return result


class Tokens(nn.Module):
    """Answers from the embeddings of the token at each position, or of it and those before."""

    def __init__(self, words: int, outputs: int, units: int) -> None:
        super().__init__()
        self.words, self.units = words, units
        if units:
            self.embed = nn.Embedding(words + 1, EMBEDDED)
            self.enter = nn.Linear(CONTEXT * EMBEDDED, units)
            self.leave = nn.Linear(units, outputs)
        else:
            self.embed = nn.Embedding(words + 1, outputs)
            nn.init.zeros_(self.embed.weight)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Return [examples, positions, outputs]."""
        if not self.units:
            answer: torch.Tensor = self.embed(ids)
            return answer
        length = ids.shape[1]
        back = [
            functional.pad(ids, (step, 0), value=self.words)[:, :length] for step in range(CONTEXT)
        ]
        hidden = torch.relu(self.enter(self.embed(torch.stack(back, -1)).flatten(2)))
        result: torch.Tensor = self.leave(hidden)
        return result
