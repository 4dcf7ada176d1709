"""Trains the digits network and writes digits.pt and its recording beside this file.
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

from auditor import Recorder

CHECKPOINT = Path(__file__).resolve().parent / "digits.pt"
SGD = {"lr": 0.006, "momentum": 0.9, "weight_decay": 5e-4}
EPOCHS = 30
SEED = 0


@torch.no_grad()
def scores(model: nn.Module, loader: DataLoader[tuple[Tensor, ...]]) -> tuple[float, float]:
    """Mean cross-entropy in nats, and the share of examples whose largest logit is the right one.

    What loaders draw meanwhile changes nothing in the training.
    """
    model.eval()
    with torch.random.fork_rng():
        answers = [(model(images), labels) for images, labels in loader]
    logits, labels = map(torch.cat, zip(*answers, strict=True))
    loss = functional.cross_entropy(logits, labels)
    return loss.item(), (logits.argmax(1) == labels).float().mean().item()


def main() -> None:
    """Train from scratch, print the metric of both splits, write the checkpoint."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = build()
    optimizer = torch.optim.SGD(model.parameters(), **SGD)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=EPOCHS)
    recorder = Recorder(
        CHECKPOINT,
        model,
        optimizer,
        train=train_loader(),
        val=val_loader(),
        scheduler=schedule,
        every=20,
    )
    for _ in range(EPOCHS):
        model.train()
        for images, labels in train_loader():
            loss = functional.cross_entropy(model(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            recorder.step(loss)
        schedule.step()
        loss, accuracy = scores(model, val_loader())
        recorder.epoch(val_loss=loss, val_accuracy=accuracy)
    print(f"accuracy: {scores(model, train_loader())[1]:.4f} in training")
    print(f"accuracy: {accuracy:.4f} in validation")
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
