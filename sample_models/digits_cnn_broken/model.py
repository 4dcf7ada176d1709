"""The digits network of digits_cnn with two faults; a third, inputs left at 0 to 16, is in data.py.
The bias of the third block's batch normalisation starts at -10: its ReLU never fires, nothing is
learnt below it and every image gets one answer. A softmax precedes the cross-entropy's own.
"""

from torch import Tensor, nn


def block(channels_in: int, channels: int, norm_bias: float = 0.0) -> nn.Sequential:
    """Convolution, batch normalisation with the given bias, and ReLU."""
    norm = nn.BatchNorm2d(channels)
    nn.init.constant_(norm.bias, norm_bias)
    return nn.Sequential(
        nn.Conv2d(channels_in, channels, 3, padding=1, bias=False), norm, nn.ReLU()
    )


class DigitsCNN(nn.Module):
    """Three convolutional blocks and a linear head."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            block(1, width),
            block(width, width),
            nn.MaxPool2d(2),
            block(width, 2 * width, norm_bias=-10.0),
            nn.AdaptiveAvgPool2d(1),
        )
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(2 * width, 10)
        self.softmax = nn.Softmax(dim=1)

    def forward(self, images: Tensor) -> Tensor:
        """Probabilities (batch, 10) of images (batch, 1, 8, 8)."""
        return self.softmax(self.head(self.dropout(self.features(images).flatten(1))))


def build(width: int = 16) -> nn.Module:
    """A freshly initialised network."""
    return DigitsCNN(width)
