"""2,000 images of the CIFAR-10 test set, 200 a class, read from a tar of JPEGs.
The folder an image lies in is its class; classes are numbered in alphabetical order.
Pixels are scaled to [0, 1] and normalised as for ImageNet, as in training.
"""

import tarfile
from functools import cache
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, TensorDataset

ARCHIVE = Path(__file__).resolve().parents[5] / "shared/real/cifar10_test_2000_jpeg.tar"
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)


@cache
def images() -> TensorDataset:
    pixels, names = [], []
    with tarfile.open(ARCHIVE) as tar:
        for member in sorted((m for m in tar if m.isfile()), key=lambda m: m.name):
            file = tar.extractfile(member)
            assert file is not None
            pixels.append(np.asarray(Image.open(file).convert("RGB")))
            names.append(PurePosixPath(member.name).parent.name)
    labels = np.unique(names, return_inverse=True)[1]
    return TensorDataset(normalise(torch.from_numpy(np.stack(pixels))), torch.from_numpy(labels))


def normalise(pixels: Tensor) -> Tensor:
    scaled = pixels.permute(0, 3, 1, 2).float() / 255
    return (scaled - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1)


def val_loader() -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(images(), batch_size=100)
