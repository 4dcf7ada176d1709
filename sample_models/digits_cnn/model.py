"""A small convolutional network for 8 x 8 handwritten digits.
Three blocks of convolution, batch normalisation and ReLU, pooled after the second and the third;
dropout and one linear layer give the ten logits.
"""

from torch import Tensor, nn


def block(channels_in: int, channels: int) -> nn.Sequential:
    """Convolution, batch normalisation and ReLU."""
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


class DigitsCNN(nn.Module):
    """Three convolutional blocks and a linear head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            block(1, width),
            block(width, width),
            nn.MaxPool2d(2),
            block(width, 2 * width),
            nn.AdaptiveAvgPool2d(1),
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(2 * width, 10)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (batch, 10) of images (batch, 1, 8, 8)."""
        return self.head(self.dropout(self.features(images).flatten(1)))


def build(width: int = 16) -> nn.Module:
    """A freshly initialised network."""
    return DigitsCNN(width)
