"""Checkpoints for tests, as training scripts save them; and names that would do harm as code."""

from pathlib import Path
from typing import Any

import torch
from torch import nn

HOSTILE = (
    "a\x1b[31mred\nforged: line",
    '"; import os; os.system("touch PWNED"); "',
    "'''\n__import__('os').system('touch PWNED')",
    '"""\nraise SystemExit\n"""',
    "{{ 7*7 }}{% raw %}",
    "\u202eevil\u2066",
    "# coding: utf-7",
    "- &a [*a]: !!python/object/apply:os.system ['touch PWNED']",
    "\u2028ls\x85next\x00nul",
    "\\N{BULLET}\\",
    "[bold red]markup[/]",
    "x" * 3_000,
    "\udc80lone",
)


def small() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))


def training_checkpoint(optimizer: str = "SGD", **settings: Any) -> dict[str, Any]:
    """Return a checkpoint as a script saves one, of a model that was trained for three steps."""
    torch.manual_seed(0)
    model = small()
    made = getattr(torch.optim, optimizer)(model.parameters(), **settings)
    schedule = torch.optim.lr_scheduler.StepLR(made, 10)
    for _ in range(3):

        def closure() -> torch.Tensor:
            made.zero_grad()
            loss = model(torch.ones(4, 8)).square().sum()
            loss.backward()
            return loss

        made.step(closure)
        schedule.step()
    return {
        "epoch": 12,
        "model_state_dict": model.state_dict(),
        "optimizer": made.state_dict(),
        "scheduler": schedule.state_dict(),
        "args": {
            "batch_size": 64,
            "arch": "resnet18",
            "criterion": "CrossEntropyLoss",
            "wandb_api_key": "local-1234567890",
        },
        "best": torch.tensor(0.5),
    }


def saved(held: Any, path: Path) -> Path:
    torch.save(held, path)
    return path
