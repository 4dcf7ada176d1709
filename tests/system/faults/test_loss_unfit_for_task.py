"""Losses that do not go with outputs or targets, planted in trained models of several families."""

import copy
from collections.abc import Callable
from functools import cache, partial
from pathlib import Path
from typing import Any

import pytest
import torch
from sklearn.datasets import load_iris
from torch import nn
from torch.nn import functional

from auditor.core.finding import Finding
from auditor.core.spec_file import read_spec
from auditor.core.verdict import Verdict
from auditor.intake.loading import load
from tests.subjects import REAL, Live, mapped, sample
from tests.zoo import Attentive, PlainCNN, Recurrent, digits, mlp, tabular

CHECK = "loss-unfit-for-task"
FAMILIES: dict[str, Callable[[], nn.Module]] = {
    "mlp": lambda: nn.Sequential(nn.Flatten(), mlp(64, 32, 10)),
    "cnn": PlainCNN,
    "lstm": Recurrent,
    "transformer": Attentive,
}


def ending(build: Callable[[], nn.Module], *end: nn.Module) -> Callable[[], nn.Module]:
    """Return a factory whose models end in other layers besides."""
    return lambda: nn.Sequential(build(), *copy.deepcopy(end))


def fitted(
    factory: Callable[[], nn.Module], train: Any, val: Any, loss: Any, epochs: int = 2
) -> Live:
    """Return a model trained a little; a loss that is a name is looked up."""
    torch.manual_seed(0)
    model = factory()
    measure = getattr(functional, loss) if isinstance(loss, str) else loss
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    for _ in range(epochs):
        for inputs, target in train:
            optimizer.zero_grad()
            measure(model(inputs), target).backward()
            optimizer.step()
    return Live(model.eval(), factory, train, val, loss, {"name": "Adam", "lr": 3e-3})


@cache
def images() -> tuple[Any, Any]:
    return digits(lambda x, y: (x, y))


def one_hot(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x, functional.one_hot(y, 10).float()


def several(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    loop = (y == 0) | (y == 6) | (y == 8) | (y == 9)
    return x, torch.stack([y % 2 == 0, y >= 5, loop], dim=1).float()


def even(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    return x, (y % 2 == 0).float().unsqueeze(1)


def found(live: Live, verdict: Verdict, *words: str) -> Finding:
    finding = live.finding(CHECK)
    assert finding.verdict is verdict, finding.summary
    for word in words:
        assert word in " ".join((finding.summary, *finding.advice)), finding.summary
    assert finding.where
    return finding


def both(change: Any) -> tuple[Any, Any]:
    return digits(change)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_softmax_before_cross_entropy(family: str) -> None:
    build = ending(FAMILIES[family], nn.Softmax(dim=1))
    finding = found(fitted(build, *images(), "cross_entropy"), Verdict.FAIL, "softmax a second")
    assert "Tried on two fresh copies" in finding.summary
    assert finding.figures[0].title == "The loss against its cure"


def test_a_softmax_before_an_own_cross_entropy_and_without_factory() -> None:
    def own(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, target.long())

    live = fitted(ending(PlainCNN, nn.Softmax(dim=1)), *images(), own)
    found(live, Verdict.FAIL, "softmax a second")
    alone = Live(live.model, None, None, live.val, own, None)
    assert "The checkpoint's loss on val data" in found(alone, Verdict.FAIL).summary


def test_a_softmax_before_a_soft_cross_entropy() -> None:
    build = ending(FAMILIES["mlp"], nn.Softmax(dim=1))
    found(fitted(build, *both(one_hot), "cross_entropy"), Verdict.FAIL, "softmax a second")


def test_the_broken_sample() -> None:
    finding = found(sample("digits_cnn_broken"), Verdict.FAIL, "softmax a second")
    assert [place.name for place in finding.where] == ["loss"]


@pytest.mark.skipif(not REAL.is_dir(), reason="the public checkpoints are not here")
def test_a_public_checkpoint_that_was_trained_so() -> None:
    subject = load(read_spec(Path(__file__).parents[1] / "real" / "titanic" / "audit.yaml"))
    val = subject.data["val"].loader
    live = Live(subject.model, subject.factory, None, val, "cross_entropy", None)
    found(live, Verdict.FAIL, "softmax a second", "fall below 0.313")


@pytest.mark.parametrize("family", ["mlp", "cnn", "lstm"])
@pytest.mark.parametrize("end", [nn.Sigmoid(), nn.Tanh()], ids=["sigmoid", "tanh"])
def test_squeezed_logits(family: str, end: nn.Module) -> None:
    live = fitted(ending(FAMILIES[family], end), *images(), "cross_entropy")
    found(live, Verdict.FAIL, "can't fall below")


def test_a_sigmoid_before_cross_entropy_on_iris() -> None:
    train, val, features = tabular(load_iris(), 0)
    build = ending(partial(mlp, features, 4, 3), nn.Sigmoid())
    found(fitted(build, train, val, "cross_entropy", 20), Verdict.FAIL, "sigmoid")


def test_two_classes_that_count_from_one() -> None:
    def from_one(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, (y % 2 + 1.0).unsqueeze(1)

    build = ending(FAMILIES["mlp"], nn.Linear(10, 1))
    live = fitted(build, *both(from_one), "binary_cross_entropy_with_logits")
    finding = found(live, Verdict.FAIL, "reach from 1 to 2", "(target > 1).float()")
    assert finding.where[0].name == "loss"


@pytest.mark.parametrize("family", ["mlp", "cnn"])
@pytest.mark.parametrize("change", [even, several], ids=["binary", "labels"])
def test_a_sigmoid_twice(family: str, change: Any) -> None:
    width = 1 if change is even else 3
    build = ending(FAMILIES[family], nn.ReLU(), nn.Linear(10, width), nn.Sigmoid())
    live = fitted(build, *both(change), "binary_cross_entropy_with_logits")
    finding = found(live, Verdict.FAIL, "sigmoid", "second time")
    assert "Tried on two fresh copies" in finding.summary


@pytest.mark.parametrize("family", ["mlp", "transformer"])
def test_logits_and_probabilities_into_nll(family: str) -> None:
    raw = fitted(FAMILIES[family], *images(), "nll_loss", 1)
    found(raw, Verdict.FAIL, "no log-probabilities")
    soft = fitted(ending(FAMILIES[family], nn.Softmax(dim=1)), *images(), "nll_loss")
    found(soft, Verdict.FAIL, "logarithm is missing")


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_squared_error_on_one_hot_rows(family: str) -> None:
    for end in (nn.Softmax(dim=1), nn.Sigmoid(), nn.Identity()):
        live = fitted(ending(FAMILIES[family], end), *both(one_hot), "mse_loss")
        found(live, Verdict.WARN, "used on classes", "cross_entropy")


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_squared_error_on_class_indices(family: str) -> None:
    def index(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, y.float().unsqueeze(1)

    build = ending(FAMILIES[family], nn.ReLU(), nn.Linear(10, 1))
    found(fitted(build, *both(index), "mse_loss"), Verdict.WARN, "likely, not certain")
    found(fitted(build, *both(even), "mse_loss"), Verdict.WARN, "0 or 1")


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_binary_cross_entropy_on_exclusive_classes(family: str) -> None:
    logits = fitted(FAMILIES[family], *both(one_hot), "binary_cross_entropy_with_logits")
    found(logits, Verdict.WARN, "exclusive")
    for end in (nn.Sigmoid(), nn.Softmax(dim=1)):
        live = fitted(ending(FAMILIES[family], end), *both(one_hot), "binary_cross_entropy")
        found(live, Verdict.WARN, "exclusive")


@pytest.mark.parametrize("family", ["mlp", "cnn"])
@pytest.mark.parametrize("loss", ["binary_cross_entropy", "mse_loss"])
def test_a_softmax_over_one_unit(family: str, loss: str) -> None:
    build = ending(FAMILIES[family], nn.ReLU(), nn.Linear(10, 1), nn.Softmax(dim=1))
    found(fitted(build, *both(even), loss), Verdict.FAIL, "softmax over one unit")


def test_a_softmax_over_one_unit_of_a_regression() -> None:
    live = sample("diabetes_mlp")
    build = ending(partial(mlp, 10, 8, 1), nn.Softmax(dim=1))
    train = [(x.float(), y.float()) for x, y in live.train]
    val = [(x.float(), y.float()) for x, y in live.val]
    found(fitted(build, train, val, "l1_loss"), Verdict.FAIL, "softmax over one unit")


def test_cross_entropy_over_one_output() -> None:
    def nought(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, torch.zeros_like(y)

    build = ending(FAMILIES["mlp"], nn.Linear(10, 1))
    found(fitted(build, *both(nought), "cross_entropy"), Verdict.FAIL, "single output")
    soft = ending(FAMILIES["cnn"], nn.Linear(10, 1))
    found(fitted(soft, *both(even), "cross_entropy"), Verdict.FAIL, "single output")


@pytest.mark.parametrize(
    ("end", "verdict"),
    [
        (nn.ReLU(), Verdict.FAIL),
        (nn.Sigmoid(), Verdict.FAIL),
        (nn.Softplus(), Verdict.FAIL),
        (nn.Tanh(), Verdict.WARN),
    ],
    ids=str,
)
def test_targets_out_of_reach(end: nn.Module, verdict: Verdict) -> None:
    live = sample("diabetes_mlp")
    train = [(x.float(), y.float()) for x, y in live.train]
    val = [(x.float(), y.float()) for x, y in live.val]
    build = ending(partial(mlp, 10, 16, 1), end)
    found(fitted(build, train, val, "mse_loss", 20), verdict, "out of reach")


def test_pixels_out_of_reach() -> None:
    def standard(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, ((x - 0.3) / 0.4).flatten(1)

    build = ending(lambda: nn.Sequential(nn.Flatten(), mlp(64, 32, 64)), nn.Sigmoid())
    found(fitted(build, *both(standard), "mse_loss"), Verdict.FAIL, "out of reach")


@pytest.mark.parametrize("family", ["mlp", "cnn", "lstm"])
def test_a_relu_on_logits(family: str) -> None:
    finding = fitted(ending(FAMILIES[family], nn.ReLU()), *images(), "cross_entropy").finding(CHECK)
    assert finding.verdict in (Verdict.WARN, Verdict.FAIL)
    assert "ReLU" in finding.summary


@pytest.mark.parametrize("family", ["mlp", "cnn"])
@pytest.mark.parametrize("loss", ["binary_cross_entropy", "mse_loss"])
def test_a_softmax_for_several_labels(family: str, loss: str) -> None:
    build = ending(FAMILIES[family], nn.ReLU(), nn.Linear(10, 3), nn.Softmax(dim=1))
    found(fitted(build, *both(several), loss), Verdict.FAIL, "hold several 1s")


@pytest.mark.parametrize("family", ["mlp", "cnn", "transformer"])
@pytest.mark.parametrize(
    "loss",
    [
        nn.CrossEntropyLoss(reduction="sum"),
        lambda outputs, target: functional.nll_loss(
            functional.log_softmax(outputs, 1), target, reduction="sum"
        ),
        lambda outputs, target: -torch.log_softmax(outputs, 1)[range(len(target)), target].sum(),
    ],
    ids=["module", "function", "by hand"],
)
def test_a_sum_over_the_batch(family: str, loss: Any) -> None:
    live = fitted(FAMILIES[family], *images(), loss, 1)
    assert "Tried on" in found(live, Verdict.WARN, "grows with the batch").summary


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_every_output_against_every_target(family: str) -> None:
    def flat(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, y.float() / 4.5 - 1 + 0.01 * x.mean(dim=(1, 2, 3))

    def own(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return (outputs - target).square().mean()

    build = ending(FAMILIES[family], nn.ReLU(), nn.Linear(10, 1))
    finding = found(fitted(build, *both(flat), own), Verdict.FAIL, "every target")
    assert "the cure is better" in finding.summary


@pytest.mark.filterwarnings("ignore:Using a target size")
@pytest.mark.parametrize("family", ["diabetes", "cnn"])
def test_a_known_loss_that_was_trained_on_every_pair(family: str) -> None:
    if family == "cnn":
        build = ending(PlainCNN, nn.Linear(10, 1))
        data = both(lambda x, y: (x, (y.float() - 4.5) / 2.87))
    else:
        live, build = sample("diabetes_mlp"), ending(partial(mlp, 10, 16, 1))
        data = tuple([(x, y.squeeze(1)) for x, y in split] for split in (live.train, live.val))
    data = tuple([(x.float(), y.float()) for x, y in split] for split in data)
    found(fitted(build, *data, "mse_loss", 8), Verdict.WARN, "different shapes")


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_an_ignored_label_that_hides_nearly_all(family: str) -> None:
    def hidden(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        y = y.clone()
        y[: len(y) - 1] = -100
        return x, y

    live = fitted(FAMILIES[family], *both(hidden), "cross_entropy", 1)
    found(live, Verdict.FAIL, "leaves out")


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_a_class_that_has_the_ignored_index(family: str) -> None:
    live = fitted(FAMILIES[family], *images(), nn.CrossEntropyLoss(ignore_index=0), 1)
    found(live, Verdict.WARN, "Class 0 is left out")


def shares(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(target * functional.log_softmax(outputs, 1)).sum(1).mean()


@pytest.mark.parametrize(
    ("family", "end", "loss"),
    [
        ("mlp", nn.Identity(), "cross_entropy"),
        ("cnn", nn.Identity(), "cross_entropy"),
        ("lstm", nn.Identity(), shares),
        ("mlp", nn.LogSoftmax(dim=1), nn.KLDivLoss(reduction="batchmean")),
    ],
)
def test_several_labels_into_a_loss_of_classes(family: str, end: nn.Module, loss: Any) -> None:
    build = ending(FAMILIES[family], nn.ReLU(), nn.Linear(10, 3), end)
    live = fitted(build, *both(several), loss)
    finding = found(live, Verdict.FAIL, "on several labels", "with_logits")
    assert "Tried on two fresh copies" in finding.summary


WEIGHT = torch.linspace(0.5, 3, 10)


def focal(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    logs = functional.log_softmax(outputs, 1).gather(1, target.unsqueeze(1))
    return -((1 - logs.exp()) ** 2 * logs).mean()


def weighted(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, target, weight=WEIGHT)


def leaning(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.binary_cross_entropy_with_logits(outputs, target, weight=1 + target)


@pytest.mark.parametrize(("family", "loss"), [("mlp", weighted), ("cnn", focal)])
def test_a_softmax_before_a_loss_like_none_of_torchs(family: str, loss: Any) -> None:
    soft = fitted(ending(FAMILIES[family], nn.Softmax(dim=1)), *images(), loss)
    finding = found(soft, Verdict.FAIL, "softmax a second time", f"`{loss.__name__}`")
    assert "the cure is better" in finding.summary
    silent(fitted(FAMILIES[family], *images(), loss, 1))


@pytest.mark.parametrize("family", ["mlp", "lstm"])
def test_a_sigmoid_before_a_loss_like_none_of_torchs(family: str) -> None:
    head = (nn.ReLU(), nn.Linear(10, 3))
    twice = fitted(ending(FAMILIES[family], *head, nn.Sigmoid()), *both(several), leaning)
    assert "the cure is better" in found(twice, Verdict.FAIL, "sigmoid", "second time").summary
    silent(fitted(ending(FAMILIES[family], *head), *both(several), leaning, 1))


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_one_output_of_two_that_is_cut_off(family: str) -> None:
    def two(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        flat = x.flatten(1)
        return x, torch.stack([1000 + 900 * flat.mean(1), (y - 4.5) / 3], 1)

    class Halved(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.stack([x[:, 0], x[:, 1].relu()], 1)

    head = (nn.ReLU(), nn.Linear(10, 2))
    whole = found(
        fitted(ending(FAMILIES[family], *head, nn.ReLU()), *both(two), "mse_loss"),
        Verdict.FAIL,
        "output 1 of 2",
    )
    assert "Tried on two fresh copies" in whole.summary
    half = fitted(ending(FAMILIES[family], *head, Halved()), *both(two), "mse_loss", 1)
    assert "can be left out" in found(half, Verdict.FAIL, "output 1 of 2").summary
    silent(fitted(ending(FAMILIES[family], *head), *both(two), "mse_loss", 1))


def test_a_log_softmax_over_one_unit() -> None:
    live = sample("diabetes_mlp")
    build = ending(partial(mlp, 10, 8, 1), nn.LogSoftmax(dim=1))
    finding = found(fitted(build, live.train, live.val, "mse_loss"), Verdict.FAIL, "always 0")
    assert "the cure is better" in finding.summary

    def nought() -> nn.Module:
        model = mlp(10, 8, 1)
        nn.init.zeros_(model[-1].weight)
        nn.init.zeros_(model[-1].bias)
        return model

    silent(Live(nought(), nought, live.train, live.val, "mse_loss", live.optimizer))


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_a_softmax_over_the_batch(family: str) -> None:
    soft = fitted(ending(FAMILIES[family], nn.Softmax(dim=0)), *images(), "cross_entropy", 1)
    found(soft, Verdict.FAIL, "over the batch", "Tried on")
    logs = fitted(ending(FAMILIES[family], nn.LogSoftmax(dim=0)), *images(), "nll_loss", 1)
    found(logs, Verdict.FAIL, "over the batch", "Tried on")


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_a_sum_beside_a_mean(family: str) -> None:
    def summed(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        likelihood = functional.cross_entropy(outputs, target, reduction="sum")
        return likelihood + 3 * outputs.square().mean()

    def averaged(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, target) + 0.1 * outputs.square().mean()

    found(fitted(FAMILIES[family], *images(), summed, 1), Verdict.WARN, "A part of the loss")
    silent(fitted(FAMILIES[family], *images(), averaged, 1))


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_two_exclusive_classes_of_two_sigmoids(family: str) -> None:
    def pair(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, functional.one_hot(y % 2, 2).float()

    head = (nn.ReLU(), nn.Linear(10, 2))
    live = fitted(
        ending(FAMILIES[family], *head, nn.Sigmoid()), *both(pair), "binary_cross_entropy"
    )
    found(live, Verdict.WARN, "exclusive")
    # A softmax over two is a sigmoid and its complement.
    soft = ending(FAMILIES[family], *head, nn.Softmax(dim=1))
    silent(fitted(soft, *both(pair), "binary_cross_entropy", 1))


@pytest.mark.parametrize("family", ["mlp", "cnn"])
def test_squared_error_on_signs(family: str) -> None:
    def sign(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, (2.0 * (y % 2) - 1).unsqueeze(1)

    build = ending(FAMILIES[family], nn.ReLU(), nn.Linear(10, 1))
    found(fitted(build, *both(sign), "mse_loss"), Verdict.WARN, "-1 or 1", "Tried on")


class Words(nn.Module):
    """A small language model."""

    def __init__(self) -> None:
        super().__init__()
        self.enter = nn.Embedding(20, 16)
        self.gru = nn.GRU(16, 16, batch_first=True)
        self.head = nn.Linear(16, 20)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(self.enter(x))[0]).movedim(-1, 1)


def words() -> Any:
    text = torch.randint(1, 20, (160, 17), generator=torch.Generator().manual_seed(0))
    return [(rows[:, :-1], rows[:, 1:]) for rows in text.split(32)]


def pixels() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 3, 1))


@pytest.mark.parametrize("family", ["words", "pixels"])
@pytest.mark.parametrize(
    ("share", "verdict"), [(0.98, Verdict.FAIL), (0.7, Verdict.INFO), (0.3, Verdict.PASS)]
)
def test_a_loss_of_ones_own_that_hides_targets(family: str, share: float, verdict: Verdict) -> None:
    def own(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, target, ignore_index=0)

    build, batches = Words, words()
    if family == "pixels":
        build = pixels
        batches = both(lambda x, y: (x, 1 + (x[:, 0] > 0.3).long()))[1][:6]
    torch.manual_seed(0)
    hidden = [(x, y.masked_fill(torch.rand(y.shape) < share, 0)) for x, y in batches]
    finding = fitted(build, hidden[:3], hidden[3:], own, 1).finding(CHECK)
    assert finding.verdict is verdict, finding.summary
    assert ("those with the label 0" in finding.summary) == (share > 0.5)


def test_what_few_rows_can_not_tell() -> None:
    """Six rows of several labels that happen to hold one each."""

    def few(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x[:6], functional.one_hot(y[:6] % 3, 3).float()

    train, val = both(few)
    build = ending(FAMILIES["mlp"], nn.ReLU(), nn.Linear(10, 3))
    for loss in ("binary_cross_entropy_with_logits", "mse_loss"):
        finding = fitted(build, train[:1], val[:1], loss).finding(CHECK)
        assert finding.verdict is Verdict.INFO
        assert "44 rows would" in finding.summary


# Healthy, though they look like it


def silent(live: Live) -> None:
    finding = live.finding(CHECK)
    assert finding.verdict is Verdict.PASS, finding.summary


def test_probabilities_where_the_loss_wants_them() -> None:
    def likelihood(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return -outputs.gather(1, target.unsqueeze(1)).clamp(min=1e-9).log().mean()

    silent(fitted(ending(PlainCNN, nn.Softmax(dim=1)), *images(), likelihood))
    silent(fitted(ending(PlainCNN, nn.LogSoftmax(dim=1)), *images(), "nll_loss"))
    silent(fitted(ending(PlainCNN, nn.LogSoftmax(dim=1)), *images(), "cross_entropy"))
    build = ending(FAMILIES["mlp"], nn.ReLU(), nn.Linear(10, 3), nn.Sigmoid())
    silent(fitted(build, *both(several), "binary_cross_entropy"))
    build = ending(FAMILIES["mlp"], nn.ReLU(), nn.Linear(10, 1), nn.Sigmoid())
    silent(fitted(build, *both(even), "binary_cross_entropy"))


@pytest.mark.parametrize(
    "loss", ["mse_loss", "l1_loss", "binary_cross_entropy", "binary_cross_entropy_with_logits"]
)
def test_autoencoders_of_pixels(loss: str) -> None:
    for change in (
        lambda x, y: (x, (x - x.min()).div(x.max() - x.min()).flatten(1)),
        lambda x, y: (x, (x > 0.5).float().flatten(1)),
    ):
        end = nn.Identity() if loss.endswith("logits") else nn.Sigmoid()
        build = ending(lambda: nn.Sequential(nn.Flatten(), mlp(64, 32, 64)), end)
        silent(fitted(build, *both(change), loss))


def test_counts_shares_and_bounded_regressions() -> None:
    def count(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, torch.poisson(torch.full((len(y), 1), 2.0))

    def share(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, torch.softmax(x.flatten(1)[:, 20:24], 1)

    build = ending(FAMILIES["mlp"], nn.ReLU(), nn.Linear(10, 1))
    torch.manual_seed(0)
    silent(fitted(build, *both(count), "mse_loss"))
    silent(fitted(ending(build, nn.Softplus()), *both(count), "mse_loss"))
    build = ending(FAMILIES["mlp"], nn.ReLU(), nn.Linear(10, 4), nn.Softmax(dim=1))
    silent(fitted(build, *both(share), "mse_loss"))
    silent(fitted(build, *both(share), lambda p, q: -(q * p.clamp(min=1e-9).log()).sum(1).mean()))


def test_a_language_model_whose_first_token_is_never_wanted() -> None:
    batches = words()
    live = fitted(Words, batches[:3], batches[3:], functional.cross_entropy, 1)
    silent(live)
    silent(Live(live.model, live.factory, live.train, live.val, "cross_entropy", None))


def test_one_hot_rows_with_padding() -> None:
    def padded(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, functional.one_hot(y, 10).float() * (y > 2).unsqueeze(1)

    silent(fitted(FAMILIES["mlp"], *both(padded), "cross_entropy"))


def test_fresh_and_weak_models() -> None:
    for family, build in FAMILIES.items():
        torch.manual_seed(1)
        live = Live(build(), build, *images(), "cross_entropy", None)
        assert live.finding(CHECK).verdict is Verdict.PASS, family

    def noise(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x, (torch.rand(len(y), 1) < 0.6).float()

    torch.manual_seed(0)
    build = ending(FAMILIES["mlp"], nn.ReLU(), nn.Linear(10, 1))
    silent(fitted(build, *both(noise), "binary_cross_entropy_with_logits", 1))


def test_shapes_that_differ_without_harm() -> None:
    live = sample("diabetes_mlp")
    flat = [mapped(split, lambda x, y: (x, y.squeeze(1))) for split in (live.train, live.val)]
    silent(Live(live.model, live.factory, *flat, "mse_loss", live.optimizer))
