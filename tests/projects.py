"""Small subjects on disk, as a user has them: a model's file, a data file, a checkpoint, a spec."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

import torch
import yaml

from auditor.api import Record, audit_spec
from auditor.commands.progress import Silent
from auditor.core.finding import Finding
from auditor.core.spec_file import read_spec
from auditor.history.baseline import Baseline
from auditor.observations.earlier import Earlier, Which

MODEL = """
    from torch import nn

    def build():
        return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))
"""

DATA = """
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def dataset():
        generator = torch.Generator().manual_seed(0)
        inputs = torch.randn(96, 4, generator=generator)
        return TensorDataset(inputs, inputs[:, :3].argmax(1))

    def batches():
        return DataLoader(dataset(), batch_size=8, shuffle=True)
"""


def project(
    folder: Path, *, model: str = MODEL, data: str = DATA, saved: Mapping[str, Any] | None = None
) -> Path:
    """Write a subject; `saved` stands beside the weights in its checkpoint."""
    folder.mkdir(exist_ok=True, parents=True)
    (folder / "model.py").write_text(dedent(model))
    (folder / "data.py").write_text(dedent(data))
    spec = {
        "version": 1,
        "model": {"factory": "model:build", "checkpoint": "weights.pt"},
        "data": {"train": "data:batches", "val": "data:batches"},
        "loss": "cross_entropy",
        "training": {"optimizer": {"name": "SGD", "lr": 0.1}},
        "audit": {"profile": "quick", "remedies": False, "device": "cpu"},
    }
    (folder / "audit.yaml").write_text(yaml.safe_dump(spec))
    space: dict[str, Any] = {"__name__": "model"}
    exec(dedent(model), space)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        torch.save({"model": space["build"]().state_dict(), **(saved or {})}, folder / "weights.pt")
    return folder


def audited(
    folder: Path, out: Path, *checks: str, earlier: Mapping[Which, Earlier] | None = None
) -> Record:
    """Audit a subject by a worker, as the command line does."""
    spec = read_spec(folder / "audit.yaml")
    only = spec.audit.checks.model_copy(update={"only": list(checks)})
    audit = spec.audit.model_copy(update={"checks": only})
    spec = spec.model_copy(update={"audit": audit})
    return audit_spec(spec, out, Silent(), baseline=Baseline(earlier=earlier or {}))


def finding(folder: Path, out: Path, check: str) -> Finding:
    """Return what one check finds in a subject."""
    (found,) = audited(folder, out, check).findings
    return found
