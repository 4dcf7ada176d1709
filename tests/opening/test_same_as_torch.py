"""What the restricted reader makes of good files is what torch.load makes of them, bit for bit."""

import argparse
import collections
import datetime
import enum
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from auditor.intake.live_tensors import live
from auditor.opening.contents import ITEM_BYTES
from auditor.opening.process import looked_into

LEGACY = {"_use_new_zipfile_serialization": False}
WAYS = {
    "zip": {},
    **{f"zip {protocol}": {"pickle_protocol": protocol} for protocol in (3, 4, 5)},
    "legacy": LEGACY,
    **{f"legacy {protocol}": {"pickle_protocol": protocol, **LEGACY} for protocol in (1, 3, 4, 5)},
}


def read(path: Path) -> Any:
    with looked_into(path) as opened:
        return live(opened)


def same(mine: Any, theirs: Any, where: str = "") -> None:
    """Assert that a tree is what torch made, but for the classes of what holds its values."""
    if isinstance(theirs, torch.Tensor) and theirs.layout is not torch.strided:
        assert mine is None, f"{where}: sparse tensors are described and never built"
    elif isinstance(theirs, torch.Tensor):
        assert isinstance(mine, torch.Tensor), where
        assert mine.dtype is theirs.dtype, where
        assert mine.shape == theirs.shape, where
        assert type(mine) is torch.Tensor, where
        assert not mine.requires_grad, where
        assert bits(mine) == bits(theirs.detach()), where
    elif isinstance(theirs, np.ndarray):
        assert mine.numpy().dtype == theirs.dtype.newbyteorder("="), where
        assert np.array_equal(mine.numpy(), theirs, equal_nan=True), where
    elif isinstance(theirs, collections.abc.Mapping):
        assert list(mine) == list(theirs), where
        for key, inner in theirs.items():
            same(mine[key], inner, f"{where}.{key}")
    elif isinstance(theirs, list | tuple | collections.deque):
        assert len(mine) == len(theirs), where
        for place, (one, other) in enumerate(zip(mine, theirs, strict=True)):
            same(one, other, f"{where}[{place}]")
    elif isinstance(theirs, float) and theirs != theirs:
        assert mine != mine, where
    else:
        assert (type(mine), mine) == (type(theirs), theirs), where


def bits(tensor: torch.Tensor) -> Any:
    return bytes(tensor.clone(memory_format=torch.contiguous_format).untyped_storage())


def check(held: Any, folder: Path, ways: tuple[str, ...] = tuple(WAYS)) -> None:
    for way in ways:
        path = folder / f"{way}.pt"
        torch.save(held, path, **WAYS[way])
        same(read(path), torch.load(path, weights_only=False), way)


def drawn(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Return a tensor of random bits."""
    count = int(np.prod(shape))
    item = torch.empty((), dtype=dtype).itemsize
    bytes_of = torch.randint(0, 2 if dtype is torch.bool else 256, (count * item,))
    return bytes_of.to(torch.uint8).view(dtype).view(shape)


@pytest.mark.parametrize("name", list(ITEM_BYTES))
def test_every_type(name: str, tmp_path: Path) -> None:
    dtype = getattr(torch, name)
    ways = ("zip", "zip 5", "legacy") if dtype.itemsize else ()
    if dtype in torch.storage._new_dtypes():
        ways = ("zip", "zip 5")
    check(
        {"a": drawn(dtype, 3, 4), "scalar": drawn(dtype), "none": drawn(dtype, 0)}, tmp_path, ways
    )


def shapes() -> dict[str, Any]:
    base = torch.randn(6, 8)
    tied = torch.randn(4)
    return {
        "scalar": torch.tensor(3.5),
        "none": torch.empty(0),
        "no rows": torch.empty(0, 5),
        "no columns": torch.empty(5, 0, 2),
        "turned": base.t(),
        "channels last": torch.randn(2, 3, 4, 5).contiguous(memory_format=torch.channels_last),
        "row": base[2],
        "column": base[:, 3],
        "every second": base[::2, 1::3],
        "tail": base.flatten()[40:],
        "tied": tied,
        "tied again": tied,
        "part of tied": tied[1:3],
        "many dimensions": torch.randn([1] * 20),
        "parameter": nn.Parameter(torch.randn(3)),
        "frozen": nn.Parameter(torch.randn(3), requires_grad=False),
    }


@pytest.mark.parametrize("way", list(WAYS))
def test_every_shape(way: str, tmp_path: Path) -> None:
    check(shapes(), tmp_path, (way,))


def test_sparse_tensors_are_described_and_not_made(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        layouts = {
            "coo": torch.eye(4).to_sparse(),
            "csr": torch.eye(4).to_sparse_csr(),
            "csc": torch.eye(4).to_sparse_csc(),
            "bsr": torch.eye(4).to_sparse_bsr((2, 2)),
            "bsc": torch.eye(4).to_sparse_bsc((2, 2)),
        }
    for way in ("zip", "legacy"):
        path = tmp_path / f"{way}.pt"
        torch.save({"state_dict": {"a": torch.ones(2)}, "extra": layouts}, path, **WAYS[way])
        assert read(path)["extra"] == dict.fromkeys(layouts)
        with looked_into(path) as opened:
            assert {
                name: (place.layout, place.shape)
                for name, place in opened.contents.tree["extra"].items()
            } == {name: (f"sparse_{name}", (4, 4)) for name in layouts}


OPTIMIZERS = [
    name
    for name, kind in vars(torch.optim).items()
    if isinstance(kind, type) and issubclass(kind, torch.optim.Optimizer)
    if kind is not torch.optim.Optimizer
]


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_state_of_every_optimizer(name: str, tmp_path: Path) -> None:
    model = nn.Linear(4, 3, bias=name != "Muon")
    kind = getattr(torch.optim, name)
    optimizer = kind(model.parameters(), lr=0.01)
    for _ in range(2):

        def closure() -> torch.Tensor:
            optimizer.zero_grad()
            loss = model(torch.ones(2, 4)).square().sum()
            loss.backward()
            return loss

        if name == "SparseAdam":
            model.weight.grad = torch.eye(3, 4).to_sparse()
            model.bias.grad = torch.ones(3).to_sparse()
            optimizer.step()
        else:
            optimizer.step(closure)
    held = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "epoch": 3}
    check(held, tmp_path, ("zip", "legacy"))


def schedules(optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    kinds = torch.optim.lr_scheduler
    return {
        "step": kinds.StepLR(optimizer, 3),
        "cosine": kinds.CosineAnnealingLR(optimizer, 9),
        "cycle": kinds.OneCycleLR(optimizer, 0.1, total_steps=20),
        "cyclic": kinds.CyclicLR(optimizer, 0.01, 0.1),
        "plateau": kinds.ReduceLROnPlateau(optimizer),
        "milestones": kinds.MultiStepLR(optimizer, [3, 5, 5]),
        "in turn": kinds.SequentialLR(
            optimizer, [kinds.LinearLR(optimizer), kinds.ExponentialLR(optimizer, 0.9)], [4]
        ),
    }


def test_the_state_of_schedules(tmp_path: Path) -> None:
    optimizer = torch.optim.SGD(nn.Linear(2, 2).parameters(), lr=0.1, momentum=0.9)
    held = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for name, schedule in schedules(optimizer).items():
            schedule.step(*([0.5] if name == "plateau" else []))
            state = schedule.state_dict()
            held[name] = {k: v for k, v in state.items() if k not in ("_scale_fn_ref", "mode")}
    check(held, tmp_path, ("zip", "zip 4", "legacy"))


class Fancy(nn.Module):
    """A module of everything that a state dict has names for."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
        self.gates = nn.ParameterList([nn.Parameter(torch.randn(2)) for _ in range(3)])
        self.heads = nn.ModuleDict({"a": nn.Linear(3, 2), "b": nn.Linear(3, 2, bias=False)})
        self.nothing = None
        self.register_parameter("absent", None)
        self.register_buffer("kept", torch.arange(4))
        self.register_buffer("passing", torch.arange(5), persistent=False)
        self.register_buffer("none", None)
        self.again = self.heads["a"]
        self.scale = nn.Parameter(torch.tensor(1.0))
        self.names = ["cat", "dog"]
        self.act = torch.nn.functional.relu


def modules() -> dict[str, Callable[[], nn.Module]]:
    layer = {"d_model": 8, "nhead": 2, "dim_feedforward": 8, "batch_first": True}
    return {
        "fancy": Fancy,
        "norm": lambda: nn.BatchNorm1d(3),
        "lstm": lambda: nn.LSTM(3, 4, num_layers=2, bidirectional=True),
        "gru": lambda: nn.GRU(3, 4),
        "transformer": lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(**layer), 2),
        "attention": lambda: nn.MultiheadAttention(8, 2, bias=False, add_bias_kv=True),
        "spread": lambda: nn.DataParallel(nn.Sequential(nn.Linear(2, 2))),
        "weight norm": lambda: torch.nn.utils.weight_norm(nn.Linear(3, 2)),
        "embedding": lambda: nn.Sequential(nn.Embedding(5, 2, padding_idx=0), nn.Flatten()),
        "averaged": lambda: torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2), multi_avg_fn=None),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", ["zip", "zip 5", "legacy", "legacy 1"])
@pytest.mark.parametrize("name", list(modules()))
def test_a_whole_module_is_read_as_its_state_dict(name: str, way: str, tmp_path: Path) -> None:
    model = modules()[name]()
    path = tmp_path / "m.pt"
    torch.save({"epoch": 3, "model": model, "ema": None}, path, **WAYS[way])
    mine = read(path)
    assert (mine["epoch"], mine["ema"]) == (3, None)
    same(mine["model"], model.state_dict())
    torch.save(model, path, **WAYS[way])
    same(read(path), model.state_dict())


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = 2


class Config:
    class Kind(enum.IntEnum):
        SMALL = 1

    def __init__(self) -> None:
        self.width, self.kind, self.owner = 32, Config.Kind.SMALL, self


class Settings(dict):  # type: ignore[type-arg]
    """A mapping of a class of its own, as configuration libraries have."""

    def __getattr__(self, name: str) -> Any:
        if name in self:
            return self[name]
        raise AttributeError(name)


class Names(list):  # type: ignore[type-arg]
    """A list of a class of its own."""


Pair = collections.namedtuple("Pair", "first second")


@pytest.mark.parametrize("way", list(WAYS))
def test_everyday_extras(way: str, tmp_path: Path) -> None:
    moment = datetime.datetime(2024, 2, 29, 13, 5, 7, 99)
    there = {
        "args": argparse.Namespace(lr=0.1, out=Path("runs/a b"), layers=[1, 2]),
        "path": Path("/data/x"),
        "moment": moment,
        "day": moment.date(),
        "time": moment.time(),
        "span": datetime.timedelta(days=1, seconds=5),
        "mode": Mode.FAST,
        "modes": [Mode.SLOW, Mode.SLOW],
        "config": Config(),
        "settings": Settings(lr=0.1, inner=Settings(a=1)),
        "names": Names(["a", "b"]),
        "pair": Pair(1, "x"),
        "counts": collections.Counter("aab"),
        "more": collections.defaultdict(list, {"a": [1]}),
        "recent": collections.deque([1, 2], maxlen=3),
        "complex": 1 + 2j,
        "set": {3},
        "frozen": frozenset([4]),
        "bytes": b"\x00\xff",
        "size": torch.Size([2, 3]),
        "device": torch.device("cuda", 1),
        "type": torch.float16,
        "version": torch.__version__,
        "large": 2**80,
        "number": np.float32(0.5),
        "count": np.int64(7),
        "word": np.str_("grün"),
        "array": np.arange(6, dtype=np.int16).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "swapped": np.arange(3, dtype=">f4"),
        "swapped complex": np.array([1 + 2j, 3j], dtype=">c16"),
        "words": np.array(["a", "bc"]),
        "objects": np.array([1, "a", None], dtype=object),
        "point": np.array(2.5),
        "state": np.random.RandomState(0).get_state(),
        "generator": np.random.default_rng(0),
        "tuple keys": {(1, 2): "a", None: "b", 0.5: "c", True: "d"},
        "function": torch.nn.functional.relu,
        "class": nn.Linear,
        "part": __import__("functools").partial(nn.BatchNorm2d, eps=1e-3),
    }
    path = tmp_path / "w.pt"
    torch.save({"state_dict": {"w": torch.ones(2)}, **there}, path, **WAYS[way])
    mine = read(path)
    same(mine.pop("state_dict"), {"w": torch.ones(2)})
    assert mine["args"] == {"lr": 0.1, "out": "runs/a b", "layers": [1, 2]}
    wanted = {
        "path": "/data/x",
        "moment": "2024-02-29T13:05:07.000099",
        "day": "2024-02-29",
        "time": "13:05:07.000099",
        "span": "1 day, 0:00:05",
        "mode": "fast",
        "modes": [2, 2],
        "config": {"width": 32, "kind": 1, "owner": None},
        "settings": {"lr": 0.1, "inner": {"a": 1}},
        "names": ["a", "b"],
        "pair": [1, "x"],
        "counts": {"a": 2, "b": 1},
        "more": {"a": [1]},
        "recent": [1, 2],
        "complex": "(1+2j)",
        "set": [3],
        "frozen": [4],
        "bytes": None,
        "size": [2, 3],
        "device": "cuda:1",
        "type": "torch.float16",
        "version": str(torch.__version__),
        "large": str(2**80),
        "number": 0.5,
        "count": 7,
        "word": "grün",
        "words": ["a", "bc"],
        "objects": [1, "a", None],
        "tuple keys": {"(1, 2)": "a", "None": "b", "0.5": "c", "True": "d"},
        "function": None,
        "class": None,
    }
    assert {name: mine[name] for name in wanted} == wanted
    for name in ("array", "columns", "swapped", "swapped complex", "point"):
        same(mine[name], there[name], name)
    assert mine["state"][0] == "MT19937"
    same(mine["state"][1], there["state"][1], "state")
