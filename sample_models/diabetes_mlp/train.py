"""Trains the diabetes network and writes diabetes.pt beside this file.
Run it from anywhere: python sample_models/diabetes_mlp/train.py
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

CHECKPOINT = Path(__file__).resolve().parent / "diabetes.pt"
ADAMW = {"lr": 5e-4, "weight_decay": 0.1}
EPOCHS = 20
SEED = 1


@torch.no_grad()
def error(model: nn.Module, loader: DataLoader[tuple[Tensor, ...]]) -> float:
    """Mean squared error, in variances of the training target."""
    model.eval()
    squares = [(model(features) - target).square() for features, target in loader]
    return torch.cat(squares).mean().item()


def main() -> None:
    """Train from scratch, print the metric of both splits, write the checkpoint."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    for _ in range(EPOCHS):
        model.train()
        for features, target in train_loader():
            loss = functional.mse_loss(model(features), target)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    print(f"mean squared error: {error(model, train_loader()):.4f} in training")
    print(f"mean squared error: {error(model, val_loader()):.4f} in validation")
    torch.save(
        {
            "state_dict": model.state_dict(),
            "optimizer": optimizer.state_dict(),
            "epoch": EPOCHS,
            "hyperparameters": {
                "optimizer": "AdamW",
                **ADAMW,
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
