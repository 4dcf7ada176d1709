"""Trains the digits network and writes digits.pt beside this file.
Run it from anywhere: python sample_models/digits_cnn/train.py
Two runs on one machine give the same weights.
"""

import platform
from pathlib import Path

import numpy as np
import torch
from data import BATCH_SIZE, train_loader, val_loader
from model import build
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

CHECKPOINT = Path(__file__).resolve().parent / "digits.pt"
SGD = {"lr": 0.006, "momentum": 0.9, "weight_decay": 5e-4}
EPOCHS = 30
SEED = 0


@torch.no_grad()
def accuracy(model: nn.Module, loader: DataLoader[tuple[Tensor, ...]]) -> float:
    """Share of examples whose largest logit is the right one."""
    model.eval()
    hits = [model(images).argmax(1) == labels for images, labels in loader]
    return torch.cat(hits).float().mean().item()


def main() -> None:
    """Train from scratch, print the metric of both splits, write the checkpoint."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    for _ in range(EPOCHS):
        model.train()
        for images, labels in train_loader():
            loss = functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
    print(f"accuracy: {accuracy(model, train_loader()):.4f} in training")
    print(f"accuracy: {accuracy(model, val_loader()):.4f} in validation")
    torch.save(
        {
            "state_dict": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": EPOCHS,
            "hyperparameters": {
                "optimizer": "SGD",
                **SGD,
                "schedule": "CosineAnnealingLR",
                "batch_size": BATCH_SIZE,
                "epochs": EPOCHS,
                "seed": SEED,
            },
            "environment": {
                "python": platform.python_version(),
                "torch": str(torch.__version__),
                "numpy": np.__version__,
                "platform": f"{platform.system()}-{platform.machine()}",
            },
        },
        CHECKPOINT,
    )


if __name__ == "__main__":
    main()
