"""Readers of sequences: an LSTM, a GRU, a transformer encoder, and a decoder language model."""

import re
from pathlib import Path

import torch
from sklearn import datasets
from torch import nn
from torch.nn import functional

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_class, right_token
from benchmarks.detection.zoo.images import digits

NAMES = Path(__file__).resolve().parents[3] / "sample_models/names_rnn/names.txt"
LONGEST = 12
CONTEXT = 32
LETTERS = " abcdefghijklmnopqrstuvwxyz.,"


def lines(seed: int) -> Data:
    """Digits as sequences of eight rows of pixels, (N, 8, 8)."""
    return digits(seed).with_inputs(lambda images: images.squeeze(1))


def names(seed: int) -> Data:
    """1,600 names of five invented languages as letter numbers, (N, 12), padded by zeros."""
    written, spoken = zip(*(line.split(",") for line in NAMES.read_text().split()), strict=True)
    kinds = sorted(set(spoken))
    letters = torch.zeros(len(written), LONGEST, dtype=torch.long)
    for row, name in zip(letters, written, strict=True):
        row[: len(name)] = torch.tensor([ord(letter) - ord("a") + 1 for letter in name])
    every = Examples(letters, torch.tensor([kinds.index(kind) for kind in spoken]))
    order = torch.randperm(len(every), generator=torch.Generator().manual_seed(seed))
    return split(every.rows(order[:1600]), seed)


def prose(seed: int) -> Data:
    """The descriptions that come with scikit-learn's data, as windows of 32 letter numbers.

    The target is the same window one letter on. Texts are cut in blocks, of which some are for
    validation, so that no letter stands in both.
    """
    tables = ("breast_cancer", "diabetes", "digits", "iris", "linnerud", "wine")
    text = " ".join(getattr(datasets, f"load_{name}")().DESCR for name in tables).lower()
    text = re.sub(r"\s+", " ", re.sub(r"[^a-z.,]", " ", text))
    letters = torch.tensor([LETTERS.index(letter) for letter in text])
    blocks = letters.unfold(0, 4 * CONTEXT + 1, 4 * CONTEXT)
    order = torch.randperm(len(blocks), generator=torch.Generator().manual_seed(seed))
    cut = round(0.8 * len(blocks))

    def windows(rows: torch.Tensor, step: int) -> Examples:
        cuts = blocks[rows].unfold(1, CONTEXT + 1, step).flatten(0, 1)
        return Examples(cuts[:, :-1], cuts[:, 1:])

    return Data(windows(order[:cut], CONTEXT // 4), windows(order[cut:], CONTEXT))


class RowLSTM(nn.Module):
    """An LSTM over rows of pixels: (N, 8, 8) to (N, 10)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.lstm = nn.LSTM(8, width, batch_first=True)
        self.head = nn.Linear(width, 10)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        states, _ = self.lstm(rows)
        logits: torch.Tensor = self.head(states[:, -1])
        return logits


class NameGRU(nn.Module):
    """A GRU over letters, judged after the last one: (N, T) to (N, 5)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.embedding = nn.Embedding(27, 16, padding_idx=0)
        self.gru = nn.GRU(16, width, batch_first=True)
        self.head = nn.Linear(width, 5)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        states, _ = self.gru(self.embedding(letters))
        last = (letters != 0).sum(dim=1) - 1
        logits: torch.Tensor = self.head(states[torch.arange(len(letters)), last])
        return logits


class RowTransformer(nn.Module):
    """A transformer encoder over rows of pixels: (N, 8, 8) to (N, 10)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.enter = nn.Linear(8, width)
        self.places = nn.Parameter(torch.randn(8, width) * 0.3)
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(width, 10)

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.head(self.encoder(self.enter(rows) + self.places).mean(1))
        return logits


class Attention(nn.Module):
    """Self-attention of several heads that looks back only, unless it is not `causal`."""

    def __init__(self, width: int, heads: int, causal: bool) -> None:
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(states).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        seen = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal)
        out: torch.Tensor = self.out(seen.transpose(1, 2).flatten(2))
        return out


class DecoderBlock(nn.Module):
    """Attention and a perceptron, each normed first and added to its input."""

    def __init__(self, width: int, causal: bool) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = Attention(width, 4, causal)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width), nn.Dropout(0.1)
        )

    def forward(self, states: torch.Tensor) -> torch.Tensor:
        states = states + self.attention(self.norm1(states))
        out: torch.Tensor = states + self.mlp(self.norm2(states))
        return out


class Decoder(nn.Module):
    """A language model of letters: numbers (N, T) to logits (N, T, 29)."""

    def __init__(self, width: int = 32, causal: bool = True) -> None:
        super().__init__()
        self.token = nn.Embedding(len(LETTERS), width)
        self.place = nn.Embedding(CONTEXT, width)
        self.blocks = nn.Sequential(*(DecoderBlock(width, causal) for _ in range(2)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(LETTERS), bias=False)
        for weight in (self.token.weight, self.place.weight, self.head.weight):
            nn.init.normal_(weight, std=0.05)

    def forward(self, letters: torch.Tensor) -> torch.Tensor:
        places = torch.arange(letters.shape[1], device=letters.device)
        states = self.blocks(self.token(letters) + self.place(places))
        logits: torch.Tensor = self.head(self.norm(states))
        return logits


RECIPES = (
    Recipe(
        family="row_lstm",
        data=lines,
        build=RowLSTM,
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 5e-3},
        epochs=12,
    ),
    Recipe(
        family="name_gru",
        data=names,
        build=NameGRU,
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 5e-3},
        epochs=8,
    ),
    Recipe(
        family="row_transformer",
        data=lines,
        build=RowTransformer,
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 2e-3},
        epochs=12,
    ),
    Recipe(
        family="decoder",
        data=prose,
        build=Decoder,
        loss="cross_entropy",
        score=right_token,
        optimizer={"name": "AdamW", "lr": 3e-3, "weight_decay": 0.01},
        epochs=12,
        clip_norm=1.0,
        options={"task": "language_model"},
    ),
)
