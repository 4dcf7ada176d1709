"""A translator whose attention goes on dropping out in evaluation mode.

Sentences of ten invented words are translated word by word, back to front, by an encoder and a
decoder of one layer each.
"""

from functools import partial

import torch
from torch import nn
from torch.nn.functional import cross_entropy, scaled_dot_product_attention

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_token

WORDS, LENGTH, WIDTH, HEADS = 24, 10, 32, 2
START = WORDS


def sentences(seed: int) -> Data:
    """1,200 sentences and what precedes each word of their translations; the translations."""
    draw = torch.Generator().manual_seed(0)
    source = torch.randint(WORDS, (1200, LENGTH), generator=draw)
    target = torch.randperm(WORDS, generator=draw)[source].flip(1)
    before = torch.cat([torch.full((1200, 1), START), target[:, :-1]], 1)
    return split(Examples((source, before), target), seed)


class Attention(nn.Module):
    """Attention whose dropout is handed to the kernel, (N, T, D) to (N, T, D)."""

    def __init__(self, heed_mode: bool, causal: bool = False) -> None:
        super().__init__()
        self.heed_mode, self.causal, self.dropout = heed_mode, causal, 0.1
        self.query, self.key = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)
        self.value, self.out = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, WIDTH)

    def forward(self, here: torch.Tensor, there: torch.Tensor) -> torch.Tensor:
        q, k, v = (
            projected.unflatten(2, (HEADS, -1)).transpose(1, 2)
            for projected in (self.query(here), self.key(there), self.value(there))
        )
        p = self.dropout if self.training or not self.heed_mode else 0.0
        mixed = scaled_dot_product_attention(q, k, v, dropout_p=p, is_causal=self.causal)
        found: torch.Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return found


class Translator(nn.Module):
    """Sentences (N, T) and the words before, (N, T), to logits (N, T, WORDS)."""

    def __init__(self, heed_mode: bool) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS + 1, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.reading = Attention(heed_mode)
        self.writing = Attention(heed_mode, causal=True)
        self.crossing = Attention(heed_mode)
        self.norms = nn.ModuleList(nn.LayerNorm(WIDTH) for _ in range(6))
        self.encoder, self.decoder = (
            nn.Sequential(nn.Linear(WIDTH, 64), nn.ReLU(), nn.Linear(64, WIDTH)) for _ in range(2)
        )
        self.head = nn.Linear(WIDTH, WORDS)

    def forward(self, source: torch.Tensor, before: torch.Tensor) -> torch.Tensor:
        place = self.places.weight
        read = self.words(source) + place
        read = self.norms[0](read + self.reading(read, read))
        read = self.norms[1](read + self.encoder(read))
        written = self.words(before) + place
        written = self.norms[2](written + self.writing(written, written))
        written = self.norms[3](written + self.crossing(written, read))
        written = self.norms[4](written + self.decoder(written))
        logits: torch.Tensor = self.head(self.norms[5](written))
        return logits


def a_word(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return cross_entropy(logits.mT, target)


def recipe(heed_mode: bool) -> Recipe:
    return Recipe(
        family="translator",
        data=sentences,
        build=partial(Translator, heed_mode),
        loss=a_word,
        score=right_token,
        optimizer={"name": "Adam", "lr": 3e-3},
        batch_size=64,
        epochs=25,
    )


POST = Post(
    id="TC-transformers-33844",
    causes=("dropout-left-on",),
    faulty=recipe(heed_mode=False),
    fixed=recipe(heed_mode=True),
    places=("reading", "writing", "crossing"),
)
