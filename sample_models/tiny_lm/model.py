"""A character-level decoder: two pre-norm transformer blocks with causal self-attention.
Input is (batch, length) character numbers with a length up to the context; output is
(batch, length, characters), the logits of each next character.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class Attention(nn.Module):
    """Causal self-attention with several heads."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """States (batch, length, width), of the same shape as they came."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        attended = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.out(attended.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """Attention and a two-layer perceptron, each normalised first and added to its input."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(
            nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width)
        )

    def forward(self, x: Tensor) -> Tensor:
        """States (batch, length, width), of the same shape as they came."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TinyLM(nn.Module):
    """Embeddings of character and place, blocks, and an untied head."""

    def __init__(self, characters: int, context: int, width: int, heads: int, depth: int) -> None:
        super().__init__()
        self.token = nn.Embedding(characters, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.Sequential(*(Block(width, heads) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, characters, bias=False)
        for weight in (self.token.weight, self.position.weight, self.head.weight):
            nn.init.normal_(weight, std=0.05)

    def forward(self, characters: Tensor) -> Tensor:
        """Logits (batch, length, characters) of each next character."""
        places = torch.arange(characters.shape[1], device=characters.device)
        x = self.token(characters) + self.position(places)
        return self.head(self.norm(self.blocks(x)))


def build(
    characters: int = 39, context: int = 48, width: int = 48, heads: int = 4, depth: int = 2
) -> nn.Module:
    """A freshly initialised network."""
    return TinyLM(characters, context, width, heads, depth)
