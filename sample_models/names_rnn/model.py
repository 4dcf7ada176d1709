"""A recurrent classifier of names: letters are embedded and read by a GRU, and a linear layer
judges the state after the last letter. Input is (batch, length) letter numbers, padded with
zeros at the end; output is one logit for each of the five invented languages.
"""

import torch
from torch import Tensor, nn


class NamesRNN(nn.Module):
    """Embedding, GRU and a linear head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(27, 16, padding_idx=0)
        self.gru = nn.GRU(16, width, batch_first=True)
        self.head = nn.Linear(width, 5)

    def forward(self, letters: Tensor) -> Tensor:
        """Logits (batch, 5) of letter numbers (batch, length)."""
        states, _ = self.gru(self.embedding(letters))
        last = (letters != 0).sum(dim=1) - 1
        return self.head(states[torch.arange(len(letters)), last])


def build(width: int = 48) -> nn.Module:
    """A freshly initialised network."""
    return NamesRNN(width)
