"""Reviews as bags of words, without dropout and for four epochs; the fix has both.

Reviews written at random stand for IMDB's: words fall off in frequency as in texts, and some are
likelier in praise, some in blame.
"""

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples, split
from benchmarks.detection.post import Post
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import right_share


def reviews(seed: int) -> Data:
    """4,400 reviews of 60 words: which of 2,000 each holds, and praise (1) or blame.

    A third is to learn from: the gain is small, and wants many to be seen in.
    """
    generator = torch.Generator().manual_seed(seed)
    praise = torch.randint(2, (4400, 1), generator=generator)
    leaning = 0.2 * torch.randn(2000, generator=generator)
    frequency = -(torch.arange(2000) + 10.0).log()
    share = torch.softmax(frequency + (2 * praise - 1) * leaning, dim=1)
    words = torch.multinomial(share, 60, replacement=True, generator=generator)
    held = torch.zeros(4400, 2000).scatter_(1, words, 1.0)
    return split(Examples(held, praise.float()), seed, share=0.32)


def recipe(epochs: int, dropout: float) -> Recipe:
    def block(inputs: int) -> list[nn.Module]:
        drop = [nn.Dropout(dropout)] if dropout else []
        return [nn.Linear(inputs, 16), nn.ReLU(), *drop]

    return Recipe(
        family="mlp",
        data=reviews,
        build=lambda: nn.Sequential(*block(2000), *block(16), nn.Linear(16, 1), nn.Sigmoid()),
        loss="binary_cross_entropy",
        score=right_share,
        optimizer={"name": "RMSprop", "lr": 1e-3},
        epochs=epochs,
        batch_size=16,
    )


POST = Post(
    id="GH-MovieReviews-59119a2",
    causes=("overfitted", "stopped-too-early"),
    faulty=recipe(epochs=4, dropout=0.0),
    fixed=recipe(epochs=7, dropout=0.5),
)
