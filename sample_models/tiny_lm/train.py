"""Trains the language model and writes tiny_lm.pt beside this file.
Run it from anywhere: python sample_models/tiny_lm/train.py
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

CHECKPOINT = Path(__file__).resolve().parent / "tiny_lm.pt"
ADAMW = {"lr": 3e-4, "weight_decay": 0.01}
CLIP_NORM = 1.0
EPOCHS = 30
SEED = 0


def loss_on(model: nn.Module, text: Tensor, following: Tensor) -> Tensor:
    """Cross-entropy of all next characters of a batch."""
    return functional.cross_entropy(model(text).flatten(0, 1), following.flatten())


@torch.no_grad()
def nats(model: nn.Module, loader: DataLoader[tuple[Tensor, ...]]) -> float:
    """Mean cross-entropy of a next character, in nats."""
    model.eval()
    losses = [(loss_on(model, *batch).item(), len(batch[0])) for batch in loader]
    return sum(loss * count for loss, count in losses) / sum(count for _, count in losses)


def main() -> None:
    """Train from scratch, print the metric of both splits, write the checkpoint."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), **ADAMW)
    for _ in range(EPOCHS):
        model.train()
        for text, following in train_loader():
            loss = loss_on(model, text, following)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
    print(f"loss: {nats(model, train_loader()):.4f} nats a character in training")
    print(f"loss: {nats(model, val_loader()):.4f} nats a character in validation")
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
                "clip_norm": CLIP_NORM,
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
