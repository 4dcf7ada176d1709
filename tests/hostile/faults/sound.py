"""Good controls: what torch, safetensors and trainers really write must be read."""

import argparse
import enum
import pathlib
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import nn

from tests.hostile.cases import Bait, Shelf
from tests.hostile.opcodes import built, called, named
from tests.hostile.torch_files import legacy, old_state, ordered, state, tarred, tensor, torch_zip

SHELF = Shelf("sound")


class Colour(enum.Enum):
    """An enum of the user's own, as configurations have them."""

    RED = "red"


def _net() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2))


def _saved(bait: Bait, held: Any, **how: Any) -> Path:
    torch.save(held, bait.file(), **how)
    return bait.file()


@SHELF.read()
def state_dict(bait: Bait) -> Path:
    return _saved(bait, _net().state_dict())


@SHELF.read()
def state_dict_of_the_old_format(bait: Bait) -> Path:
    return _saved(bait, _net().state_dict(), _use_new_zipfile_serialization=False)


for _protocol in (2, 3, 4, 5):
    SHELF.add(
        f"state-dict-by-protocol-{_protocol}",
        SHELF.cases[0].must,
        lambda bait, protocol=_protocol: _saved(
            bait, _net().state_dict(), pickle_protocol=protocol
        ),
    )


@SHELF.read()
def training_state(bait: Bait) -> Path:
    net = _net()
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-3)
    net(torch.zeros(2, 4)).sum().backward()
    optimizer.step()
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3)
    held = {
        "model": net.state_dict(),
        "optimizer": optimizer.state_dict(),
        "scheduler": schedule.state_dict(),
        "epoch": 3,
        "best": np.float64(0.5),
        "history": defaultdict(list, {"loss": [1.0, 0.5]}),
        "args": argparse.Namespace(lr=0.1, out=pathlib.PurePosixPath("runs"), names=["a"]),
        "rng": torch.get_rng_state(),
        "numpy": np.arange(6.0).reshape(2, 3),
        "kind": Colour.RED,
        "device": torch.device("cpu"),
        "type": torch.float32,
        "size": torch.Size([1, 2]),
        "set": {1, 2},
        "complex": 1 + 2j,
        "bytes": b"abc",
        "slice": slice(1, 2),
        "range": range(3),
    }
    return _saved(bait, held)


@SHELF.read()
def training_state_of_the_old_format(bait: Bait) -> Path:
    net = _net()
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    held = {"state_dict": net.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    return _saved(bait, held, _use_new_zipfile_serialization=False)


@SHELF.read()
def whole_module(bait: Bait) -> Path:
    """Names and weights of a pickled module, which is never made."""
    return _saved(bait, _net())


@SHELF.read()
def module_within_a_dict(bait: Bait) -> Path:
    return _saved(bait, {"model": _net(), "ema": None, "epoch": 3})


@SHELF.read()
def parameters(bait: Bait) -> Path:
    return _saved(bait, {"a": nn.Parameter(torch.ones(2)), "b": nn.Buffer(torch.zeros(2))})


@SHELF.read()
def tied_and_sliced(bait: Bait) -> Path:
    weight = torch.arange(12.0).reshape(3, 4)
    return _saved(bait, {"a": weight, "b": weight, "c": weight.T, "d": weight[1:, ::2]})


@SHELF.read()
def sparse_layouts(bait: Bait) -> Path:
    dense = torch.eye(4)
    extra = {"coo": dense.to_sparse(), "csr": dense.to_sparse_csr()}
    return _saved(bait, {"state_dict": {"a": dense}, "extra": extra})


@SHELF.read()
def many_types(bait: Bait) -> Path:
    names = ("float64", "float16", "bfloat16", "int8", "uint8", "int16", "int32", "int64", "bool")
    held = {name: torch.ones(2, 2).to(getattr(torch, name)) for name in names}
    held["complex64"] = torch.ones(2, dtype=torch.complex64)
    held["float8_e4m3fn"] = torch.ones(2).to(torch.float8_e4m3fn)
    held["uint16"] = torch.ones(2).to(torch.uint16)
    return _saved(bait, held)


@SHELF.read()
def large_types_alone(bait: Bait) -> Path:
    return _saved(bait, OrderedDict(a=torch.ones(2, dtype=torch.complex128)))


@SHELF.refused("resolve_conj")
def negated_and_conjugated(bait: Bait) -> Path:
    return _saved(bait, {"a": torch.ones(2, dtype=torch.complex64).conj()})


@SHELF.read()
def safetensors_file(bait: Bait) -> Path:
    path = bait.file("model.safetensors")
    tensors = {name: value.contiguous() for name, value in _net().state_dict().items()}
    safetensors.torch.save_file(tensors, path, metadata={"format": "pt", "step": "3"})
    return path


@SHELF.read()
def written_by_hand(bait: Bait) -> Path:
    """What the corpus's own writer writes where nothing is wrong."""
    return torch_zip(bait.file(), state(epoch=3))


@SHELF.read()
def written_by_hand_in_the_old_format(bait: Bait) -> Path:
    return legacy(bait.file(), old_state(epoch=3))


@SHELF.read()
def written_by_hand_as_in_2017(bait: Bait) -> Path:
    return tarred(bait.file())


@SHELF.read()
def classes_of_other_packages(bait: Bait) -> Path:
    """Stand-ins take the place of what is not installed here, or is."""
    config = built(called(named("omegaconf.dictconfig", "DictConfig")), {"lr": 0.1})
    own = built(called(named("mytrainer.config", "Settings"), 1), {"name": "x"})
    return torch_zip(bait.file(), state(cfg=config, settings=own, more=ordered(("a", own))))


@SHELF.read()
def module_of_2017(bait: Bait) -> Path:
    """Modules in the old format bring their source along as text."""
    return _saved(bait, _net(), _use_new_zipfile_serialization=False)


@SHELF.read()
def tensor_with_attributes(bait: Bait) -> Path:
    """Trainers put marks on parameters; torch keeps them beside."""
    weight = nn.Parameter(torch.ones(2))
    weight.tensor_model_parallel = True  # type: ignore[attr-defined]
    return _saved(bait, {"a": weight})


@SHELF.read()
def loss_as_a_tensor(bait: Bait) -> Path:
    return _saved(bait, {"state_dict": _net().state_dict(), "loss": torch.tensor(0.5)})


@SHELF.read()
def nested_training_dict(bait: Bait) -> Path:
    return torch_zip(bait.file(), {"state_dict": {"a": tensor()}, "hyper": {"lr": [0.1, {"x": 1}]}})
