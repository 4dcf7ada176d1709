"""Trains the names network and writes names.pt, a bare state dict, beside this file.
Run it from anywhere: python sample_models/names_rnn/train.py
Two runs on one machine give the same weights.
"""

from pathlib import Path

import torch
from data import train_loader, val_loader
from model import build
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader

CHECKPOINT = Path(__file__).resolve().parent / "names.pt"
ADAM = {"lr": 5e-4}
CLIP_NORM = 1.0
EPOCHS = 20
SEED = 0


@torch.no_grad()
def accuracy(model: nn.Module, loader: DataLoader[tuple[Tensor, ...]]) -> float:
    """Share of examples whose largest logit is the right one."""
    model.eval()
    hits = [model(letters).argmax(1) == labels for letters, labels in loader]
    return torch.cat(hits).float().mean().item()


def main() -> None:
    """Train from scratch, print the metric of both splits, write the checkpoint."""
    torch.set_num_threads(1)
    torch.manual_seed(SEED)
    model = build()
    optimizer = torch.optim.Adam(model.parameters(), **ADAM)
    for _ in range(EPOCHS):
        model.train()
        for letters, labels in train_loader():
            loss = functional.cross_entropy(model(letters), labels)
            optimizer.zero_grad()
            loss.backward()
            nn.utils.clip_grad_norm_(model.parameters(), CLIP_NORM)
            optimizer.step()
    print(f"accuracy: {accuracy(model, train_loader()):.4f} in training")
    print(f"accuracy: {accuracy(model, val_loader()):.4f} in validation")
    torch.save(model.state_dict(), CHECKPOINT)


if __name__ == "__main__":
    main()
