"""A table of small models that hooks, copies and counters go wrong on, each with data and loss."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils import parametrizations, parametrize

from auditor.core.request import Profile
from auditor.core.spec import (
    AuditSettings,
    AuditSpec,
    OptimizerSpec,
    OutputSpec,
    Task,
    TrainingSpec,
)
from auditor.core.verdict import Verdict
from auditor.intake.assembly import assemble
from auditor.intake.live import device_of, live_parts
from auditor.intake.subject import Subject
from auditor.observations.earlier import Earlier

SIZES = (6, 6, 6, 3)
"""Examples in each batch; the last batch is smaller, as in life."""

SGD = OptimizerSpec(name="SGD", lr=0.05, momentum=0.9)

BEFORE = Earlier("an audit of another model", "2026-01-01T00:00:00+00:00", Verdict.PASS, "", {}, {})
"""What every subject of the table can be compared with."""

Batches = list[tuple[Any, Any]]


@dataclass(frozen=True)
class Awkward:
    """A model, its batches as a loader would yield them, its loss, and what is odd about it.

    `trains` is False where no parameter gets a gradient.
    """

    name: str
    odd: str
    build: Callable[[], nn.Module]
    batches: Callable[[], Batches]
    loss: Any = "cross_entropy"
    task: Task | None = None
    trains: bool = True
    optimizer: OptimizerSpec = SGD

    def model(self, seed: int = 0) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return self.build()

    def subject(
        self,
        model: nn.Module | None = None,
        *,
        batches: Batches | None = None,
        profile: Profile = "standard",
        seed: int = 0,
        factory: bool = True,
    ) -> Subject:
        model = self.model() if model is None else model
        loader = self.batches() if batches is None else batches
        return subject_of(
            model,
            loader,
            self.loss,
            task=self.task,
            profile=profile,
            seed=seed,
            factory=self.build if factory else None,
            optimizer=self.optimizer,
        )

    def __str__(self) -> str:
        return self.name


def subject_of(
    model: nn.Module,
    loader: Any,
    loss: Any,
    *,
    train: Any = None,
    task: Task | None = None,
    profile: Profile = "standard",
    seed: int = 0,
    factory: Callable[[], nn.Module] | None = None,
    optimizer: OptimizerSpec | None = SGD,
) -> Subject:
    """Return a subject of live objects; validation batches serve as training batches too.

    Its inputs may be shown, so that tests of pictures have some to look at.
    """
    device = device_of(model)
    spec = AuditSpec(
        task=task,
        training=TrainingSpec(optimizer=optimizer),
        audit=AuditSettings(profile=profile, seed=seed, device=device),
        output=OutputSpec(include_samples=True),
    )
    train = loader if train is None else train
    parts = live_parts(model, factory, loss, train, loader, None, None, device)
    return assemble(replace(parts, earlier={"last": BEFORE, "accepted": BEFORE}), spec)


def _rows(*shape: int, dtype: torch.dtype = torch.float32) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    return [torch.randn(n, *shape, generator=generator, dtype=dtype) for n in SIZES]


def _labels(classes: int, *shape: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(8)
    return [torch.randint(classes, (n, *shape), generator=generator) for n in SIZES]


def _paired(inputs: list[Any], targets: list[Any]) -> Batches:
    return list(zip(inputs, targets, strict=True))


def vectors(width: int = 8, classes: int = 3) -> Batches:
    return _paired(_rows(width), _labels(classes))


def images(classes: int = 3) -> Batches:
    return _paired(_rows(3, 8, 8), _labels(classes))


def tokens(classes: int = 3) -> Batches:
    return _paired(_labels(11, 5), _labels(classes))


def numbers(*shape: int, dtype: torch.dtype = torch.float32) -> Batches:
    generator = torch.Generator().manual_seed(9)
    targets = [torch.randn(n, *shape, generator=generator, dtype=dtype) for n in SIZES]
    return _paired(_rows(8, dtype=dtype), targets)


def mlp() -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 12), nn.ReLU(), nn.Linear(12, 3)
    )


class SharedReLU(nn.Module):
    """A CNN with batch norm and one in-place ReLU behind layers of different widths."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 6, 3, padding=1), nn.BatchNorm2d(6)
        self.conv2, self.bn2 = nn.Conv2d(6, 10, 3, padding=1, stride=2), nn.BatchNorm2d(10)
        self.fc, self.head = nn.Linear(10, 7), nn.Linear(7, 3)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.relu(self.bn2(self.conv2(x)))
        return self.head(self.relu(self.fc(x.mean((2, 3)))))


class Residual(nn.Module):
    """A residual block whose relu runs twice and whose sum is written in place."""

    def __init__(self, act: nn.Module | None = None) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.act = act or nn.ReLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        out = self.act(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        out += x
        return self.act(out)


class OneActivation(nn.Module):
    """Two residual blocks of equal shapes that share one activation module."""

    def __init__(self) -> None:
        super().__init__()
        act = nn.ReLU(inplace=True)
        self.stem = nn.Conv2d(3, 4, 1)
        self.blocks = nn.Sequential(Residual(act), Residual(act))
        self.head = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.blocks(self.stem(x)).mean((2, 3)))


class TiedWeights(nn.Module):
    """A language model whose embedding is its head."""

    def __init__(self) -> None:
        super().__init__()
        self.embed, self.mix = nn.Embedding(11, 6), nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.tanh(self.mix(self.embed(x))))


class SharedBlock(nn.Module):
    """One block under two names, run in both places."""

    def __init__(self) -> None:
        super().__init__()
        block = nn.Sequential(nn.Linear(8, 8), nn.ReLU())
        self.first, self.second, self.head = block, block, nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.second(torch.tanh(self.first(x))))


class Loop(nn.Module):
    """A layer and its relu run several times a forward pass, functional ones too."""

    def __init__(self) -> None:
        super().__init__()
        self.cell, self.act, self.head = nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for step in range(4):
            x = self.act(self.cell(x) - 0.3 * step)
            x = functional.relu(self.cell(x) + 0.1)
        return self.head(x)


class TupleOutput(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body, self.head = nn.Linear(8, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = functional.relu(self.body(x))
        return self.head(hidden), hidden


class DictOutput(TupleOutput):
    def forward(self, x: torch.Tensor) -> Any:
        logits, hidden = super().forward(x)
        return {"hidden": hidden, "logits": logits}


@dataclass
class Answer:
    """What a model of the Hugging Face kind returns."""

    hidden: torch.Tensor
    logits: torch.Tensor
    loss: torch.Tensor | None = None


class DataclassOutput(TupleOutput):
    def forward(self, x: torch.Tensor) -> Any:
        logits, hidden = super().forward(x)
        return Answer(hidden, logits)


class Pair(NamedTuple):
    logits: torch.Tensor
    hidden: torch.Tensor


class NamedTupleOutput(TupleOutput):
    def forward(self, x: torch.Tensor) -> Any:
        return Pair(*super().forward(x))


class NoParameters(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(x[:, :3])


def frozen_part() -> nn.Module:
    model = mlp()
    model[0].requires_grad_(False)
    model[3].bias.requires_grad_(False)
    return model


def frozen_whole() -> nn.Module:
    return mlp().requires_grad_(False)


def inplace_after_conv() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(3, 6, 3),
        nn.ReLU(inplace=True),
        nn.Conv2d(6, 5, 3),
        nn.ReLU6(inplace=True),
        nn.Flatten(),
        nn.Linear(80, 3),
    )


class FunctionalReLU(nn.Module):
    """Relus that no module stands for, in all their spellings."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.a, self.b = nn.Conv2d(3, 6, 3), nn.Linear(6, 9), nn.Linear(9, 9)
        self.head = nn.Linear(9, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.conv(x)).mean((2, 3))
        x = torch.relu(self.a(x))
        x = self.b(x).relu_()
        return self.head(functional.relu6(x - 0.1))


class Branches(nn.Module):
    """Two branches of equal width whose relus come after both have run."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.act, self.head = (
            nn.Linear(8, 6),
            nn.Linear(8, 6),
            nn.ReLU(),
            nn.Linear(24, 3),
        )
        with torch.no_grad():
            self.a.bias.fill_(-100.0)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.a(x), self.b(x)
        parts = [functional.relu(a), functional.relu(b), self.act(a), self.act(b)]
        return self.head(torch.cat(parts, dim=1))


class Recurrent(nn.Module):
    def __init__(self, kind: type[nn.RNNBase]) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.rnn = kind(6, 7, num_layers=2, batch_first=True, dropout=0.2)
        self.head = nn.Linear(7, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        states, _ = self.rnn(self.embed(x))
        return self.head(states[:, -1])


class Attention(nn.Module):
    """Multi-head attention, whose output projection is never called as a module."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.embed(x)
        mixed, _ = self.attend(x, x, x, need_weights=False)
        return self.head(mixed.mean(1))


class Encoder(nn.Module):
    """A transformer encoder, which has a fused path in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=False)
        self.encoder = nn.TransformerEncoder(layer, 2)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.encoder(self.embed(x)).mean(1))


class NeverCalled(nn.Module):
    """Modules that never run, one of which lends its weight to a function."""

    def __init__(self) -> None:
        super().__init__()
        self.used, self.head = nn.Linear(8, 6), nn.Linear(6, 3)
        self.unused, self.lent = nn.Linear(5, 5), nn.Linear(6, 6)
        self.unused_bn = nn.BatchNorm1d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.used(x))
        return self.head(functional.linear(x, self.lent.weight))


class FunctionalOnly(nn.Module):
    """No submodules at all."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(8, 8) / 3)
        self.b1 = nn.Parameter(torch.full((8,), -100.0))
        self.w2 = nn.Parameter(torch.randn(8, 8) / 3)
        self.w3 = nn.Parameter(torch.randn(3, 8) / 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        dead = functional.relu(functional.linear(x, self.w1, self.b1))
        x = functional.relu(functional.linear(dead + x, self.w2))
        return functional.linear(x, self.w3)


class FunctionalConvolution(nn.Module):
    """A convolution without a module: its units are channels all the same."""

    def __init__(self) -> None:
        super().__init__()
        self.kernel = nn.Parameter(torch.randn(6, 3, 3, 3) / 5)
        self.head = nn.Parameter(torch.randn(3, 6) / 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(functional.conv2d(x, self.kernel))
        return functional.linear(x.mean((2, 3)), self.head)


class OddBuffers(nn.Module):
    """Buffers of types other than float, shared, absent, not saved, and written to in eval."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)
        self.register_buffer("seen", torch.zeros((), dtype=torch.long))
        self.register_buffer("mask", torch.tensor([True, False, True]))
        self.register_buffer("same", self.mask)
        self.register_buffer("absent", None)
        self.register_buffer("peak", torch.zeros(8), persistent=False)
        self.register_buffer("empty", torch.zeros(0))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen += len(x)
        self.peak = torch.maximum(self.peak, x.detach().amax(0))
        return self.fc(x) + self.mask


class Remembers(nn.Module):
    """Keeps its last activation, counts its calls and logs them in plain attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.head = nn.Linear(8, 5), nn.Linear(5, 3)
        self.calls = 0
        self.log: list[int] = []
        self.notes: dict[str, float] = {}
        self.average = torch.zeros(5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.log.append(len(x))
        self.notes[f"call {self.calls}"] = float(len(x))
        self.last = functional.relu(self.fc(x))
        self.average.mul_(0.9).add_(self.last.detach().mean(0), alpha=0.1)
        return self.head(self.last)


class _Doubling:
    """A user's own hook; it must stay."""

    def __call__(self, module: nn.Module, args: Any, output: torch.Tensor) -> torch.Tensor:
        return output * 2


def user_hooks() -> nn.Module:
    model = mlp()
    model[0].register_forward_hook(_Doubling())
    model[3].register_forward_pre_hook(lambda module, args: None)
    model.register_forward_hook(lambda module, args, kwargs, output: None, with_kwargs=True)
    model[5].register_full_backward_hook(lambda module, given, wanted: None)
    model[5].weight.register_hook(lambda gradient: None)
    return model


def spectral_norm() -> nn.Module:
    return nn.Sequential(
        parametrizations.spectral_norm(nn.Linear(8, 6)), nn.ReLU(), nn.Linear(6, 3)
    )


def old_spectral_norm() -> nn.Module:
    return nn.Sequential(nn.utils.spectral_norm(nn.Linear(8, 6)), nn.ReLU(), nn.Linear(6, 3))


def old_weight_norm() -> nn.Module:
    return nn.Sequential(nn.utils.weight_norm(nn.Linear(8, 6)), nn.ReLU(), nn.Linear(6, 3))


class _Positive(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return functional.relu(weight)


def positive_weights() -> nn.Module:
    layer = nn.Linear(8, 6)
    parametrize.register_parametrization(layer, "weight", _Positive())
    return nn.Sequential(layer, nn.ReLU(), nn.Linear(6, 3))


class TrainOnly(nn.Module):
    """Noise, dropout and a second output in training mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.drop, self.head = nn.Linear(8, 6), nn.Dropout(0.5), nn.Linear(6, 3)
        self.auxiliary = nn.Linear(6, 3)

    def forward(self, x: torch.Tensor) -> Any:
        if not self.training:
            return self.head(torch.relu(self.fc(x)))
        hidden = self.drop(torch.relu(self.fc(x + 0.1 * torch.randn_like(x))))
        return self.head(hidden), self.auxiliary(hidden)


def train_only_loss(outputs: Any, target: torch.Tensor) -> torch.Tensor:
    if isinstance(outputs, tuple):
        return sum(functional.cross_entropy(o, target) for o in outputs)  # type: ignore[return-value]
    return functional.cross_entropy(outputs, target)


def double() -> nn.Module:
    return nn.Sequential(
        nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 1, bias=False)
    ).double()


def bfloat16() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 3)).bfloat16()


class DictInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(11, 6), nn.Linear(6, 3)

    def forward(self, input_ids: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        kept = self.embed(input_ids) * attention_mask.unsqueeze(-1)
        return self.head(kept.sum(1) / attention_mask.sum(1, keepdim=True).clamp(min=1))


def dict_batches() -> Batches:
    return [
        (
            {"input_ids": ids, "attention_mask": (ids > 2).long()},
            label,
        )
        for ids, label in tokens()
    ]


class ScalarOutput(nn.Module):
    """Computes its own loss, so that its output is a scalar."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x).square().mean()


def output_itself(outputs: torch.Tensor, target: Any) -> torch.Tensor:
    return outputs


def channels_last() -> nn.Module:
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, 3)
    )
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def channels_last_images() -> Batches:
    return [(x.contiguous(memory_format=torch.channels_last), y) for x, y in images()]


class Fallback(nn.Module):
    """Tries a layer that raises and takes another."""

    def __init__(self) -> None:
        super().__init__()
        self.wrong, self.right, self.head = nn.Linear(4, 4), nn.Linear(8, 4), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        try:
            x = self.wrong(x)
        except RuntimeError:
            x = self.right(x)
        return self.head(torch.relu(x))


class Fourier(nn.Module):
    """Complex weights and activations in the middle."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(5, 5, dtype=torch.complex64)
        self.head = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(torch.fft.irfft(self.mix(torch.fft.rfft(x)), n=8))


def sparse_gradients() -> nn.Module:
    return nn.Sequential(
        nn.Embedding(11, 6, sparse=True), nn.Flatten(), nn.Linear(30, 8), nn.ReLU(), nn.Linear(8, 3)
    )


class TimeFirst(nn.Module):
    """Takes [time, batch, features]: the first dimension of the inputs does not count examples."""

    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.GRU(4, 5), nn.Linear(5, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.rnn(x)[0][-1])


def time_first_batches() -> Batches:
    return [(x.movedim(1, 0).contiguous(), y) for x, y in _paired(_rows(9, 4), _labels(3))]


class Segments(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 3, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.b(functional.relu(self.a(x)))


def segment_batches() -> Batches:
    masks = _labels(3, 8, 8)
    for mask in masks:
        mask[:, :2] = -100
    masks[0][1] = -100
    return _paired(_rows(3, 8, 8), masks)


def next_tokens() -> Batches:
    return _paired(_labels(11, 5), _labels(11, 5))


def binary_batches(kind: torch.dtype) -> Batches:
    return [(x, y.to(kind)) for x, y in vectors(classes=2)]


def multilabel_batches() -> Batches:
    return [(x, (y > 0).float()) for x, y in numbers(4)]


TABLE: tuple[Awkward, ...] = (
    Awkward("mlp", "nothing", mlp, vectors),
    Awkward("shared-relu", "one in-place ReLU behind layers of three widths", SharedReLU, images),
    Awkward("residual", "a relu run twice, a sum in place", OneActivation, images),
    Awkward("tied", "embedding and head are one parameter", TiedWeights, next_tokens),
    Awkward("shared-block", "one block in two places", SharedBlock, vectors),
    Awkward("loop", "a layer and a relu run several times", Loop, vectors),
    Awkward("tuple-output", "returns a tuple", TupleOutput, vectors),
    Awkward("dict-output", "returns a dict, logits last", DictOutput, vectors),
    Awkward("dataclass-output", "returns a dataclass", DataclassOutput, vectors),
    Awkward("namedtuple-output", "returns a named tuple", NamedTupleOutput, vectors),
    Awkward("no-parameters", "has none", NoParameters, vectors, trains=False),
    Awkward("frozen-part", "some parameters are frozen", frozen_part, vectors),
    Awkward("frozen-whole", "all parameters are frozen", frozen_whole, vectors, trains=False),
    Awkward(
        "inplace-relu", "relus write into what convolutions put out", inplace_after_conv, images
    ),
    Awkward("functional-relu", "no relu is a module", FunctionalReLU, images),
    Awkward("branches", "relus after both branches have run", Branches, vectors),
    Awkward("lstm", "returns a tuple, fused weights", lambda: Recurrent(nn.LSTM), tokens),
    Awkward("gru", "returns a tuple, fused weights", lambda: Recurrent(nn.GRU), tokens),
    Awkward("attention", "a projection that is never called", Attention, tokens),
    Awkward("encoder", "has a fused path in evaluation mode", Encoder, tokens),
    Awkward("never-called", "modules that never run", NeverCalled, vectors),
    Awkward("functional-only", "no submodules", FunctionalOnly, vectors),
    Awkward("functional-conv", "no submodules, channels", FunctionalConvolution, images),
    Awkward("odd-buffers", "integer, shared, absent buffers that change", OddBuffers, vectors),
    Awkward("remembers", "writes plain attributes as it runs", Remembers, vectors),
    Awkward("user-hooks", "has hooks of the user's", user_hooks, vectors),
    Awkward("spectral-norm", "a parametrised weight with state", spectral_norm, vectors),
    Awkward("positive-weights", "a relu of weights, not of activations", positive_weights, vectors),
    Awkward("old-spectral-norm", "a hook that sets a weight", old_spectral_norm, vectors),
    Awkward("old-weight-norm", "a hook that sets a weight", old_weight_norm, vectors),
    Awkward(
        "train-only",
        "acts and answers otherwise in training",
        TrainOnly,
        vectors,
        loss=train_only_loss,
        task="multiclass",
    ),
    Awkward(
        "float64",
        "double precision",
        double,
        lambda: numbers(1, dtype=torch.float64),
        loss="mse_loss",
    ),
    Awkward(
        "bfloat16", "half precision", bfloat16, lambda: [(x.bfloat16(), y) for x, y in vectors()]
    ),
    Awkward("dict-inputs", "called by keywords", DictInputs, dict_batches),
    Awkward(
        "int-target",
        "0 and 1 as integers",
        lambda: nn.Linear(8, 1),
        lambda: binary_batches(torch.long),
        loss="binary_cross_entropy_with_logits",
    ),
    Awkward(
        "float-target",
        "0 and 1 as floats, outputs are probabilities",
        lambda: nn.Sequential(nn.Linear(8, 1), nn.Sigmoid()),
        lambda: binary_batches(torch.float64),
        loss=nn.BCELoss(),
    ),
    Awkward(
        "multilabel",
        "several labels",
        lambda: nn.Linear(8, 4),
        multilabel_batches,
        loss="binary_cross_entropy_with_logits",
    ),
    Awkward(
        "regression",
        "two outputs, absolute error",
        lambda: nn.Linear(8, 2),
        lambda: numbers(2),
        loss=nn.L1Loss(),
    ),
    Awkward("scalar-output", "puts out its loss", ScalarOutput, vectors, loss=output_itself),
    Awkward("single-layer", "is a layer", lambda: nn.Linear(8, 3), vectors),
    Awkward("channels-last", "another memory format", channels_last, channels_last_images),
    Awkward("fallback", "catches what a layer raises", Fallback, vectors),
    Awkward("fourier", "complex numbers", Fourier, vectors),
    Awkward("sparse", "sparse gradients", sparse_gradients, tokens),
    Awkward("time-first", "examples stand in the second dimension", TimeFirst, time_first_batches),
    Awkward("segmentation", "targets left out, all of one example's", Segments, segment_batches),
)

BY_NAME = {case.name: case for case in TABLE}
