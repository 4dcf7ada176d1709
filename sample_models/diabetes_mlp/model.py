"""A regression network for ten features: two hidden layers of ReLUs and one output.
It predicts the standardised progression of diabetes, with shape (batch, 1).
The output layer starts small, so that a fresh network predicts about the mean.
"""

from torch import nn


def build(width: int = 32) -> nn.Module:
    """A freshly initialised network."""
    output = nn.Linear(width // 2, 1)
    nn.init.normal_(output.weight, std=0.1)
    nn.init.zeros_(output.bias)
    return nn.Sequential(
        nn.Linear(10, width),
        nn.ReLU(),
        nn.Linear(width, width // 2),
        nn.ReLU(),
        output,
    )
