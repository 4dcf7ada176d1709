"""Models, factories and loaders that come out otherwise with the same seed."""

import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from auditor.checks.tracking.not_reproducible_training import TWICE, judge
from auditor.core.check import Seen
from auditor.core.finding import Finding, Judgement
from auditor.core.spec_file import read_spec
from auditor.core.verdict import Verdict
from auditor.experiments import read_twice
from auditor.experiments.trained_twice import trained_twice
from auditor.intake.loading import load
from auditor.observations.trained_twice import TrainedTwice, TrainedTwiceOver
from tests.awkward import mlp, vectors
from tests.projects import project
from tests.subjects import Live
from tests.zoo import healthy

CHECK = "not-reproducible-training"

SHARED = torch.Generator().manual_seed(0)

COUNT = 0


def found_in(live: Live, verdict: Verdict, place: str = "") -> Finding:
    found = live.finding(CHECK)
    assert found.verdict is verdict, found.summary
    assert place in [one.name for one in found.where] or not place, found.where
    assert found.advice or verdict is not Verdict.WARN
    return found


def built_by(build: Callable[[], nn.Module], train: Any = None) -> Live:
    batches = vectors() * 4
    return Live(build(), build, train or batches, batches, "cross_entropy", None)


@pytest.mark.parametrize("name", ["wine_mlp", "diabetes_mlp"])
def test_a_factory_with_an_unseeded_generator(name: str) -> None:
    live = healthy(name)
    assert live.factory is not None
    fresh = live.factory

    def build() -> nn.Module:
        model = fresh()
        rng = np.random.default_rng()
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.Linear):
                    drawn = rng.normal(0, 0.1, tuple(module.weight.shape))
                    module.weight.copy_(torch.tensor(drawn))
        return model

    found = found_in(replace(live, factory=build), Verdict.WARN, "model.factory")
    assert "0.weight" in [place.name for place in found.where]
    assert "0.bias" not in [place.name for place in found.where]
    assert "equal bit for bit" in found.summary  # the runs, which start from the same weights
    assert "default_rng(seed)" in found.advice[0]


def test_a_seeded_generator_in_the_factory_is_fine() -> None:
    def build() -> nn.Module:
        rng, model = np.random.default_rng(7), mlp()
        nn.init.constant_(model[0].bias, rng.normal())
        return model

    found_in(built_by(build), Verdict.PASS)


def test_a_factory_that_draws_from_a_generator_of_its_module() -> None:
    def build() -> nn.Module:
        model = mlp()
        nn.init.normal_(model[0].weight, generator=SHARED)
        return model

    found = found_in(built_by(build), Verdict.WARN, "model.factory")
    assert "SHARED" in found.summary


class OwnDropout(nn.Module):
    """Dropout that draws from a generator which nobody seeds."""

    def __init__(self) -> None:
        super().__init__()
        self.generator = torch.Generator()
        self.generator.seed()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if not self.training:
            return x
        return x * (torch.rand(x.shape, generator=self.generator) > 0.3)


class FreshDropout(nn.Module):
    """Dropout that makes a generator at each call."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        generator = torch.Generator()
        generator.seed()
        return x * (torch.rand(x.shape, generator=generator) > 0.3) if self.training else x


class SharedDropout(nn.Module):
    """Dropout that draws from a generator which all models share."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * (torch.rand(x.shape, generator=SHARED) > 0.3) if self.training else x


class Annealed(nn.Module):
    """Counts its calls where every model counts."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        global COUNT
        COUNT += self.training
        return x / (1 + 0.1 * COUNT)


def with_layer(kind: type[nn.Module]) -> Callable[[], nn.Module]:
    return lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), kind(), nn.Linear(16, 3))


def test_dropout_that_draws_from_a_generator_of_its_own() -> None:
    found = found_in(built_by(with_layer(OwnDropout)), Verdict.WARN, "2.generator")
    assert "`2.generator`" in found.summary


@pytest.mark.parametrize("kind", [FreshDropout, SharedDropout])
def test_dropout_that_no_seed_reaches(kind: type[nn.Module]) -> None:
    found = found_in(built_by(with_layer(kind)), Verdict.WARN, "2")
    assert "from the loss of step 1 on" in found.summary
    assert f"`2` ({kind.__name__})" in found.summary
    assert "in step 1" in found.summary
    assert ("SHARED" in found.summary) == (kind is SharedDropout)


@pytest.mark.parametrize(("name", "path"), [("digits_cnn", "dropout"), ("names_rnn", "head")])
def test_dropout_within_a_convolutional_and_a_recurrent_model(name: str, path: str) -> None:
    live = healthy(name)
    assert live.factory is not None
    fresh = live.factory

    def build() -> nn.Module:
        model = fresh()
        model.set_submodule(path, nn.Sequential(FreshDropout(), model.get_submodule(path)))
        return model

    found_in(replace(live, model=build(), factory=build), Verdict.WARN, f"{path}.0")


def test_a_counter_that_all_models_share_is_named() -> None:
    found = found_in(built_by(with_layer(Annealed)), Verdict.WARN, "2")
    assert "COUNT" in found.summary
    assert any("register_buffer" in step for step in found.advice)


def test_a_counter_of_the_models_own_is_fine() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.count = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.count += self.training
            return x / (1 + 0.1 * self.count)

    found_in(built_by(with_layer(Own)), Verdict.PASS)


def test_noise_in_the_gradients() -> None:
    class Noisy(nn.Linear):
        def __init__(self) -> None:
            super().__init__(16, 16)
            rng = np.random.default_rng()
            self.weight.register_hook(lambda g: g * float(rng.uniform(0.5, 2)))

    found = found_in(built_by(with_layer(Noisy)), Verdict.WARN, "2.weight")
    assert "though the loss is the same" in found.summary


def test_a_difference_of_rounding_is_only_told() -> None:
    ticks = itertools.count()

    class Rounding(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x * (1 + 2e-7 * (next(ticks) % 3))

    found = found_in(built_by(with_layer(Rounding)), Verdict.INFO)
    assert "rounding" in found.summary


def test_a_fault_behind_rounding_is_found() -> None:
    ticks = itertools.count()

    class Both(FreshDropout):
        def __init__(self) -> None:
            super().__init__()
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            x = x * (1 + 2e-7 * (next(ticks) % 3))
            return super().forward(x) if self.calls > 3 else x

    found = found_in(built_by(with_layer(Both)), Verdict.WARN, "2")
    assert "They part in step 4" in found.summary


class Shuffled:
    """A loader that shuffles by a generator of its own."""

    def __init__(self, rng: Any) -> None:
        self.batches, self.rng = vectors() * 4, rng

    def __iter__(self) -> Iterator[Any]:
        for place in self.rng.permutation(len(self.batches)):
            yield self.batches[place]


@pytest.mark.parametrize(
    ("rng", "verdict"),
    [
        (np.random.default_rng(), Verdict.WARN),
        (np.random.RandomState(), Verdict.WARN),
        (np.random.default_rng(3), Verdict.PASS),
        (np.random.RandomState(3), Verdict.PASS),
    ],
    ids=["unseeded", "old unseeded", "seeded", "old seeded"],
)
def test_a_loader_with_a_generator_of_its_own(rng: Any, verdict: Verdict) -> None:
    found = found_in(built_by(mlp, Shuffled(rng)), verdict)
    if verdict is Verdict.WARN:
        assert [place.name for place in found.where] == ["data.train"]
        assert "`rng`" in found.summary
        assert "worker_init_fn=seed_worker" in found.advice[0]


def test_a_loader_that_draws_from_the_system_at_each_pass() -> None:
    class Loader:
        def __iter__(self) -> Iterator[Any]:
            order = np.random.default_rng().permutation(16)
            batches = vectors() * 4
            yield from (batches[place] for place in order)

    found_in(built_by(mlp, Loader()), Verdict.WARN, "data.train")


def test_a_loader_whose_generator_does_not_tell_its_seed() -> None:
    class Loader(Shuffled):
        def __iter__(self) -> Iterator[Any]:
            order = list(range(len(self.batches)))
            self.rng.shuffle(order)
            yield from (self.batches[place] for place in order)

    found = found_in(built_by(mlp, Loader(random.Random(3))), Verdict.INFO)
    assert "`rng`, which does not tell" in found.summary


def test_a_loader_that_counts_its_epochs() -> None:
    class Loader:
        def __init__(self) -> None:
            self.epoch = 0

        def __iter__(self) -> Iterator[Any]:
            self.epoch += 1
            order = np.random.default_rng(self.epoch).permutation(16)
            batches = vectors() * 4
            yield from (batches[place] for place in order)

    assert "`epoch`" in found_in(built_by(mlp, Loader()), Verdict.INFO).summary


class Augmented(Dataset):
    """Examples with noise, drawn in whatever way."""

    def __init__(self, draw: Callable[[], float]) -> None:
        self.x = torch.cat([x for x, _ in vectors()])
        self.y = torch.cat([y for _, y in vectors()])
        self.draw = draw

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.x[place] + float(self.draw()), self.y[place]


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize(
    ("draw", "verdict"),
    [
        (np.random.normal, Verdict.PASS),
        (random.random, Verdict.PASS),
        (lambda: np.random.default_rng().normal(), Verdict.WARN),
    ],
    ids=["numpy", "python", "system"],
)
def test_augmentation(draw: Callable[[], float], verdict: Verdict, workers: int) -> None:
    loader = DataLoader(Augmented(draw), 5, shuffle=True, num_workers=workers)
    found_in(built_by(mlp, loader), verdict)


def test_a_seeded_loader_with_workers() -> None:
    data = TensorDataset(*(torch.cat(column) for column in zip(*vectors(), strict=True)))
    generator = torch.Generator().manual_seed(5)
    loader = DataLoader(data, 5, shuffle=True, generator=generator, num_workers=2)
    found_in(built_by(mlp, loader), Verdict.PASS)


DATA = """
    import numpy as np
    import torch
    from torch.utils.data import DataLoader, TensorDataset

    def batches():
        rng = np.random.default_rng({seed})
        inputs = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
        chosen = torch.from_numpy(rng.permutation(96)[:64])
        return DataLoader(TensorDataset(inputs[chosen], inputs[chosen, :3].argmax(1)), 8)
"""


def of_a_project(folder: Path) -> Judgement:
    """Look and judge in this process, as a worker does."""
    subject = load(read_spec(folder / "audit.yaml"))
    answer = trained_twice(TrainedTwiceOver(2), subject)
    assert isinstance(answer, TrainedTwice)
    return judge(Seen({TWICE: answer}))


@pytest.mark.parametrize(("seed", "verdict"), [("", Verdict.WARN), ("3", Verdict.PASS)])
def test_a_split_that_is_drawn_when_the_loader_is_built(
    tmp_path: Path, seed: str, verdict: Verdict
) -> None:
    found = of_a_project(project(tmp_path / "split", data=DATA.replace("{seed}", seed)))
    assert found.verdict is verdict, found.summary
    assert "two loaders built with one seed" in found.summary


SHUFFLING = """
    import numpy as np
    import torch

    RNG = np.random.default_rng(3)

    class Loader:
        def __init__(self):
            self.inputs = torch.randn(96, 4, generator=torch.Generator().manual_seed(0))
            self.epoch = 0

        def __iter__(self):
            self.epoch += 1
            rng = RNG if "{by}" == "shared" else np.random.default_rng({by})
            for rows in rng.permutation(96).reshape(12, 8):
                yield self.inputs[rows], self.inputs[rows, :3].argmax(1)

    def batches():
        return Loader()
"""


@pytest.mark.parametrize(
    ("by", "verdict"),
    [("shared", Verdict.PASS), ("self.epoch", Verdict.PASS), ("", Verdict.WARN)],
)
@pytest.mark.parametrize("small", [True, False])
def test_an_order_that_goes_on_from_pass_to_pass_is_fine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, by: str, verdict: Verdict, small: bool
) -> None:
    if not small:
        monkeypatch.setattr(read_twice, "SMALL", 0)
    found = of_a_project(project(tmp_path / "order", data=SHUFFLING.replace("{by}", by)))
    assert found.verdict is verdict, found.summary


def test_data_too_large_to_be_read_again_are_judged_by_seeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(read_twice, "SMALL", 0)
    monkeypatch.setattr(read_twice, "BEARABLE", 0)
    found = of_a_project(project(tmp_path / "large", data=SHUFFLING.replace("{by}", "self.epoch")))
    assert found.verdict is Verdict.INFO
    assert "`epoch`" in found.summary


def test_a_loader_that_can_not_be_built_again(tmp_path: Path) -> None:
    data = (
        SHUFFLING.replace("{by}", "3")
        + """
    calls = 0

    def batches():
        global calls
        calls += 1
        if calls > 2:
            raise RuntimeError("the file is open")
        return Loader()
"""
    )
    found = of_a_project(project(tmp_path / "once", data=data))
    assert found.verdict is Verdict.INFO
    assert "the file is open" in found.summary


def test_a_factory_that_hands_out_one_model() -> None:
    kept = mlp()
    live = replace(built_by(mlp), factory=lambda: kept)
    assert "the same model each time" in live.finding(CHECK).summary


@pytest.mark.parametrize("name", ["digits_cnn", "names_rnn", "tiny_lm", "wine_mlp"])
def test_healthy_models(name: str) -> None:
    found_in(healthy(name), Verdict.PASS)


def test_what_is_needed_is_said() -> None:
    live = healthy("wine_mlp")
    without = replace(live, factory=None).finding(CHECK)
    assert without.verdict is Verdict.NOT_APPLICABLE
    assert "factory" in without.summary
    assert "train" in replace(live, train=None).finding(CHECK).summary
    undeclared = replace(live, optimizer=None).finding(CHECK)
    assert undeclared.verdict is Verdict.PASS
    assert "no optimizer is declared" in undeclared.summary
