"""A model comes out of every container as it went in, and what is found in it is the same."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.optim.swa_utils import AveragedModel

from auditor.core.spec import AuditSpec
from auditor.core.spec_file import read_spec
from auditor.intake.loading import load
from auditor.intake.subject import Subject
from tests.subjects import SAMPLES

Weights = dict[str, torch.Tensor]
Writer = Callable[[nn.Module, Path], Path]

FAMILIES = ("digits_cnn", "digits_cnn_broken", "diabetes_mlp", "names_rnn", "tiny_lm")


def saved(held: Any, folder: Path, **options: Any) -> Path:
    torch.save(held, folder / "w.pt", **options)
    return folder / "w.pt"


def own(model: nn.Module) -> Weights:
    """Return the weights, each with a memory of its own, as safetensors wants them."""
    return {name: tensor.clone().contiguous() for name, tensor in model.state_dict().items()}


def zip_file(model: nn.Module, folder: Path) -> Path:
    return saved(model.state_dict(), folder)


def legacy(model: nn.Module, folder: Path) -> Path:
    return saved(model.state_dict(), folder, _use_new_zipfile_serialization=False)


def training_dict(model: nn.Module, folder: Path) -> Path:
    optimizer = torch.optim.AdamW(model.parameters())
    held = {"model_state_dict": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    return saved(held, folder)


def nested(model: nn.Module, folder: Path) -> Path:
    return saved({"run": {"net": OrderedDict(model.state_dict()), "step": 7}}, folder)


def parallel(model: nn.Module, folder: Path) -> Path:
    return saved({"state_dict": nn.DataParallel(model).state_dict()}, folder)


def compiled(model: nn.Module, folder: Path) -> Path:
    return saved({f"_orig_mod.{n}": t for n, t in model.state_dict().items()}, folder)


def averaged(model: nn.Module, folder: Path) -> Path:
    return saved({"model_ema": AveragedModel(model).state_dict()}, folder)


def lightning(model: nn.Module, folder: Path) -> Path:
    held = {
        "epoch": 3,
        "global_step": 90,
        "pytorch-lightning_version": "2.4.0",
        "state_dict": {f"model.{name}": tensor for name, tensor in model.state_dict().items()},
        "hyper_parameters": {"lr": 0.1},
        "optimizer_states": [],
        "lr_schedulers": [],
    }
    return saved(held, folder)


def safetensors(model: nn.Module, folder: Path) -> Path:
    save_file(own(model), folder / "w.safetensors", metadata={"format": "pt"})
    return folder / "w.safetensors"


def module(model: nn.Module, folder: Path) -> Path:
    return saved(model, folder)


WRITERS: dict[str, Writer] = {
    writer.__name__: writer
    for writer in (
        zip_file,
        legacy,
        training_dict,
        nested,
        parallel,
        compiled,
        averaged,
        lightning,
        safetensors,
        module,
    )
}


def brought(sample: str, path: Path | None = None) -> Subject:
    return load(spec_of(sample, path))


def spec_of(sample: str, path: Path | None = None) -> AuditSpec:
    spec = read_spec(SAMPLES / sample / "audit.yaml")
    if path is None:
        return spec
    model = spec.model.model_copy(update={"checkpoint": str(path), "key": None})
    return spec.model_copy(update={"model": model})


@pytest.mark.slow
@pytest.mark.parametrize("sample", FAMILIES)
def test_every_container_gives_the_same_weights(sample: str, tmp_path: Path) -> None:
    model = brought(sample).model
    assert model is not None
    for name, write in WRITERS.items():
        folder = tmp_path / name
        folder.mkdir()
        again = brought(sample, write(model, folder)).model
        assert again is not None
        for (key, one), (other_key, other) in zip(
            model.state_dict().items(), again.state_dict().items(), strict=True
        ):
            assert key == other_key, name
            assert one.dtype == other.dtype, name
            assert torch.equal(one, other), name
