"""An image for an image: an autoencoder and a U-Net that tells ink from noise."""

import torch
from torch import nn

from benchmarks.detection.data import Data, Examples
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.scores import near, right_class
from benchmarks.detection.zoo.images import digits, flat


def copied(seed: int) -> Data:
    """Digits as rows of pixels, each its own target, (N, 64)."""
    data = flat(digits(seed))
    return Data(*(Examples(part.tensor, part.tensor) for part in (data.train, data.val)))


def inked(seed: int) -> Data:
    """Digits in noise, (N, 1, 8, 8), and which of their pixels were inked, (N, 8, 8)."""
    generator = torch.Generator().manual_seed(seed)
    data = digits(seed)

    def noisy(examples: Examples) -> Examples:
        noise = 0.5 * torch.randn(examples.tensor.shape, generator=generator)
        return Examples(examples.tensor + noise, (examples.tensor[:, 0] > 0.3).long())

    return Data(noisy(data.train), noisy(data.val))


class Autoencoder(nn.Module):
    """Pixels (N, 64) through a code of 16 numbers and back."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(64, 48), nn.ReLU(), nn.Linear(48, 16))
        self.decoder = nn.Sequential(nn.Linear(16, 48), nn.ReLU())
        self.head = nn.Linear(48, 64)

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        outputs: torch.Tensor = self.head(self.decoder(self.encoder(pixels)))
        return outputs


class UNet(nn.Module):
    """One step down and up again beside a shortcut: (N, 1, 8, 8) to logits (N, 2, 8, 8)."""

    def __init__(self, width: int = 8) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(1, width, 3, padding=1), nn.ReLU())
        self.deep = nn.Sequential(
            nn.MaxPool2d(2),
            nn.Conv2d(width, 2 * width, 3, padding=1),
            nn.ReLU(),
            nn.Upsample(scale_factor=2),
        )
        self.up = nn.Sequential(nn.Conv2d(3 * width, width, 3, padding=1), nn.ReLU())
        self.head = nn.Conv2d(width, 2, 1)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        fine = self.down(images)
        logits: torch.Tensor = self.head(self.up(torch.cat([fine, self.deep(fine)], dim=1)))
        return logits


RECIPES = (
    Recipe(
        family="autoencoder",
        data=copied,
        build=Autoencoder,
        loss="mse_loss",
        score=near,
        optimizer={"name": "Adam", "lr": 2e-3},
        epochs=15,
    ),
    Recipe(
        family="unet",
        data=inked,
        build=UNet,
        loss="cross_entropy",
        score=right_class,
        optimizer={"name": "Adam", "lr": 3e-3},
        epochs=8,
    ),
)
