import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.experiments.initial_loss import fresh_losses
from auditor.experiments.neutral import growth, knows_nothing
from auditor.intake.batches import Batch
from auditor.intake.losses import Loss, callable_loss, named_loss
from auditor.observations.initial_loss import FreshLosses, FreshLossesOver
from tests.awkward import BY_NAME, TABLE, Awkward, mlp, numbers, subject_of, vectors

ASKED = FreshLossesOver(seeds=2, batches=3, split="train")


def own_cross_entropy(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, target)


def own_of_shares(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -outputs.gather(1, target[:, None]).log().mean()


def batches_of(loss: Loss, width: int = 4) -> list[Batch]:
    generator = torch.Generator().manual_seed(0)
    return [
        Batch((), {}, torch.randint(width, (size,), generator=generator)) for size in (6, 8, 10)
    ]


@pytest.mark.parametrize(
    ("loss", "shape_of_outputs", "words"),
    [
        (named_loss("cross_entropy"), "logits", "an all-zero output"),
        (callable_loss(nn.CrossEntropyLoss(weight=torch.arange(1.0, 5)), ""), "logits", "all-zero"),
        (callable_loss(nn.CrossEntropyLoss(label_smoothing=0.2), ""), "logits", "all-zero"),
        (callable_loss(own_cross_entropy, "own"), "logits", "an all-zero output"),
        (named_loss("nll_loss"), "logs", "an output of equal log-probabilities"),
        (callable_loss(own_of_shares, "own"), "shares", "an output of equal probabilities"),
    ],
)
def test_uniform_over_classes_costs_the_logarithm_of_their_number(
    loss: Loss, shape_of_outputs: str, words: str
) -> None:
    generator = torch.Generator().manual_seed(1)
    batches = batches_of(loss)
    logits = [torch.randn(len(b.target), 4, generator=generator) for b in batches]
    changes = {
        "logits": lambda x: x,
        "logs": lambda x: x.log_softmax(1),
        "shares": lambda x: x.softmax(1),
    }
    outputs = [changes[shape_of_outputs](x) for x in logits]
    value, said = knows_nothing(loss, "multiclass", outputs, batches)
    assert value == pytest.approx(math.log(4), rel=1e-5)
    assert words in said


@pytest.mark.parametrize("delta", [0.1, 1.0, 10.0])
def test_the_best_constant_is_found_for_any_loss_of_numbers(delta: float) -> None:
    generator = torch.Generator().manual_seed(2)
    targets = [torch.randn(40, 1, generator=generator).exp() for _ in range(3)]
    batches = [Batch((), {}, target) for target in targets]
    loss = callable_loss(nn.HuberLoss(delta=delta), "huber")
    value, words = knows_nothing(loss, "regression", [t * 0 for t in targets], batches)
    grid = torch.linspace(0, 5, 2001)
    whole = torch.cat(targets)
    least = min(float(functional.huber_loss(c.expand_as(whole), whole, delta=delta)) for c in grid)
    assert value == pytest.approx(least, rel=1e-3)
    assert words == "the best constant output"


def test_squared_error_costs_the_variance() -> None:
    batches = [Batch((), {}, y) for _, y in numbers(2)]
    outputs = [torch.zeros(len(b.target), 2) for b in batches]
    value, _ = knows_nothing(named_loss("mse_loss"), "regression", outputs, batches)
    whole = torch.cat([b.target for b in batches])
    assert value == pytest.approx(float(whole.var(0, correction=0).mean()), rel=0.05)


@pytest.mark.parametrize(("reduction", "power"), [("mean", 0.0), ("sum", 1.0)])
def test_growth_with_the_batch(reduction: str, power: float) -> None:
    images = [(x, y) for x, y in vectors()]
    batches = [Batch((x,), {}, y) for x, y in images]
    outputs = [torch.randn(len(x), 3) for x, _ in images]
    loss = callable_loss(nn.CrossEntropyLoss(reduction=reduction), "own")
    assert growth(loss, "multiclass", outputs, batches) == pytest.approx(power, abs=1e-5)
    numeric = [Batch((x,), {}, y) for x, y in numbers(2)]
    outputs = [torch.randn(len(b.args[0]), 2) for b in numeric]
    loss = callable_loss(nn.MSELoss(reduction=reduction), "own")
    assert growth(loss, "regression", outputs, numeric) == pytest.approx(power, abs=1e-5)


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_what_knowing_nothing_costs_is_known_wherever_a_loss_takes_a_tensor(case: Awkward) -> None:
    seen = fresh_losses(ASKED, case.subject())
    assert isinstance(seen, FreshLosses)
    assert math.isfinite(seen.neutral_loss)
    assert seen.neutral
    if seen.loss == "cross_entropy":
        assert seen.neutral_loss == pytest.approx(math.log(seen.outputs or 0), rel=1e-2)
    assert seen.remedied.shape == (len(seen.remedies), 2)


def test_a_regularising_term_is_left_out() -> None:
    model = mlp()

    def terms(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return sum(p.square().sum() for p in model.parameters()) + 100.0

    subject = subject_of(model, vectors(), "cross_entropy", factory=mlp)
    loss = Loss({"class": functional.cross_entropy, "l2_penalty": terms}, "", "class + l2_penalty")
    seen = fresh_losses(ASKED, replace(subject, loss=loss))
    assert seen.left_out == ("l2_penalty",)
    assert seen.losses.max() < 2


def scaled_last(factor: float, bias: float = 0.0):
    def build() -> nn.Module:
        model = mlp()
        with torch.no_grad():
            model[5].weight.mul_(factor)
            model[5].bias[0] += bias
        return model

    return build


def ratio(seen: FreshLosses, *remedies: str) -> float:
    return float(np.mean(seen.remedied[seen.remedies.index(remedies)]))  # type: ignore[arg-type]


def test_remedies_are_tried_where_the_loss_is_off() -> None:
    healthy = fresh_losses(ASKED, BY_NAME["mlp"].subject())
    assert healthy.remedies == ()
    large = subject_of(scaled_last(300)(), vectors(), "cross_entropy", factory=scaled_last(300))
    seen = fresh_losses(ASKED, large)
    assert ratio(seen, "reset") < 1.2 < 3 < ratio(seen, "inputs")
    assert ratio(seen, "head") < 1.6
    biased = scaled_last(1, bias=30.0)
    seen = fresh_losses(ASKED, subject_of(biased(), vectors(), "cross_entropy", factory=biased))
    assert ratio(seen, "bias") < 1.2 < 3 < ratio(seen, "inputs")
    raw = [(500 * x + 2000, y) for x, y in vectors()]
    seen = fresh_losses(ASKED, subject_of(mlp(), raw, "cross_entropy", factory=mlp))
    assert ratio(seen, "inputs") < 1.2 < 3 < ratio(seen, "reset")


def test_two_remedies_at_once_are_tried_where_none_mends_it_alone() -> None:
    far = [(500 * x + 2000, y * 3 + 90_000) for x, y in numbers(2)]

    def build() -> nn.Module:
        return nn.Linear(8, 2)

    seen = fresh_losses(ASKED, subject_of(build(), far, "mse_loss", factory=build))
    assert ratio(seen, "inputs", "targets") < 2
    assert min(ratio(seen, "inputs"), ratio(seen, "targets")) > 100
    near = [(x, y * 3 + 90_000) for x, y in numbers(2)]
    seen = fresh_losses(ASKED, subject_of(build(), near, "mse_loss", factory=build))
    assert all(len(done) == 1 for done in seen.remedies)


RARE = torch.cat([torch.zeros(190), torch.ones(10)]).long()[
    torch.randperm(200, generator=torch.Generator().manual_seed(0))
]
WEIGHTS = torch.tensor([1.0, 9.0])


def focal(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    surprise = functional.cross_entropy(outputs, target, reduction="none")
    return ((1 - surprise.neg().exp()) ** 2 * surprise).mean()


@pytest.mark.parametrize(
    ("loss", "columns"),
    [
        ("cross_entropy", 2),
        (nn.CrossEntropyLoss(weight=WEIGHTS), 2),
        (lambda o, t: functional.cross_entropy(o, t, weight=WEIGHTS), 2),
        (nn.CrossEntropyLoss(reduction="sum"), 2),
        (focal, 2),
        ("binary_cross_entropy_with_logits", 1),
        (nn.BCEWithLogitsLoss(pos_weight=torch.tensor([5.0])), 1),
    ],
)
def test_no_constant_costs_less_than_the_best_one(loss: Any, columns: int) -> None:
    torch.manual_seed(0)
    targets = RARE if columns == 2 else RARE.float().unsqueeze(1)
    batches = [(torch.randn(50, 8), target) for target in targets.split(50)]

    def build() -> nn.Module:
        return nn.Linear(8, columns)

    subject = subject_of(build(), batches, loss, factory=build)
    seen = fresh_losses(ASKED, subject)
    assert subject.loss is not None

    def cost(logit: float) -> float:
        row = torch.tensor([[0.0, logit][-columns:]], dtype=torch.float32)
        costs = [subject.loss(row.expand(50, columns), y) for _, y in batches[:3]]
        return float(torch.stack(costs).mean())

    least = min(cost(logit) for logit in np.linspace(-8, 4, 241))
    assert seen.constant_loss == pytest.approx(least, rel=0.1)
    assert seen.neutral_loss > seen.constant_loss
    if loss == "cross_entropy":
        assert seen.prior_loss == pytest.approx(cost(math.log(10 / 190)), rel=1e-4)


def test_targets_are_standardised_for_a_regression() -> None:
    far = [(x, y * 3 + 500) for x, y in numbers(2)]

    def build() -> nn.Module:
        return nn.Linear(8, 2)

    seen = fresh_losses(ASKED, subject_of(build(), far, "mse_loss", factory=build))
    assert ratio(seen, "targets") < 2
    assert ratio(seen, "bias") > 100


def test_a_mean_does_not_grow_whatever_its_targets() -> None:
    batch = Batch((torch.zeros(6, 1),), {}, torch.tensor([0.0, 0, 0, 9, 9, 9]).unsqueeze(1))
    outputs = [torch.zeros(6, 1)]
    mean = named_loss("poisson_nll_loss")
    assert growth(mean, "regression", outputs, [batch]) == pytest.approx(0, abs=1e-5)

    def total(given: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return ((given - target) ** 2).sum()

    assert growth(callable_loss(total, "total"), "regression", outputs, [batch]) == pytest.approx(1)
