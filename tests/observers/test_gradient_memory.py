"""The average of past gradients that an optimizer keeps, beside the gradients of batches now."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Unavailable
from auditor.core.spec import AuditSettings, AuditSpec
from auditor.core.verdict import Verdict
from auditor.intake.assembly import assemble
from auditor.intake.live import live_parts
from auditor.intake.subject import Subject
from auditor.observations.gradient_memory import GradientMemory, GradientMemoryOver
from auditor.observations.summed_gradients import said_of_sums
from benchmarks.detection.recipe import Recipe
from benchmarks.detection.recipe import Subject as Trained
from benchmarks.detection.zoo import ZOO
from tests.awkward import mlp
from tests.observers.naive import gradients, swept
from tests.observers.test_optimizer_moments import of, trained

ASKED = GradientMemoryOver(batches=4, split="train")


def seen(model: nn.Module, optimizer: Any) -> GradientMemory:
    found = swept(of(model, optimizer), ASKED)
    assert isinstance(found, GradientMemory), found
    return found


@pytest.mark.parametrize("decay", [0.0, 0.3])
def test_adam_keeps_an_average_freed_of_its_start(decay: float) -> None:
    model = mlp()
    optimizer = trained(torch.optim.Adam, model, lr=0.01, weight_decay=decay)
    found = seen(model, optimizer)
    _, now, _ = gradients(of(model, optimizer), ASKED)
    assert len(found.squares) == len(now) == 4
    for column, name in enumerate(found.parameters):
        p = model.get_parameter(name)
        state = optimizer.state[p]
        moment = state["exp_avg"] / (1 - 0.9**20)
        assert found.lengths[column] == pytest.approx(float(moment.norm()), rel=1e-5)
        root = (state["exp_avg_sq"] / (1 - 0.999**20)).sqrt()
        assert found.roots[column] == pytest.approx(float(root.norm()), rel=1e-5)
        if not decay:
            norms = [row[name] for row in now]
            np.testing.assert_allclose(np.sqrt(found.squares[:, column]), norms, rtol=1e-4)


def test_what_weight_decay_adds_counts_as_gradient_unless_it_goes_beside() -> None:
    model = mlp()
    through = trained(torch.optim.Adam, model, lr=0.0, weight_decay=100.0)
    found = seen(model, through)
    assert found.excess()[0] == pytest.approx(1.0, rel=0.1)
    assert found.agree()[0] > 0.95
    beside = trained(torch.optim.AdamW, model, lr=0.0, weight_decay=100.0)
    assert seen(model, beside).squares.sum() < 0.01 * found.squares.sum()


def test_sgd_keeps_a_sum_that_momentum_and_dampening_make_an_average() -> None:
    model = mlp()
    optimizer = trained(torch.optim.SGD, model, lr=0.01, momentum=0.8, dampening=0.5)
    found = seen(model, optimizer)
    for column, name in enumerate(found.parameters):
        buffer = optimizer.state[model.get_parameter(name)]["momentum_buffer"]
        assert found.lengths[column] == pytest.approx(float(buffer.norm()) * 0.2 / 0.5, rel=1e-5)
    assert np.isnan(found.roots).all()
    assert np.isnan(found.agreed)


@pytest.mark.parametrize(
    "optimizer",
    [
        None,
        lambda model: trained(torch.optim.SGD, model, lr=0.01),
        lambda model: trained(torch.optim.RMSprop, model, lr=0.01, momentum=0.9),
        lambda model: trained(torch.optim.Adam, model, lr=0.01, maximize=True),
        lambda model: torch.optim.Adam(model.parameters()),
        lambda model: trained(torch.optim.Adam, mlp(), lr=0.01),
    ],
)
def test_an_optimizer_that_keeps_no_average_of_gradients(optimizer: Any) -> None:
    model = mlp()
    found = swept(of(model, optimizer(model) if optimizer else None), ASKED)
    assert isinstance(found, Unavailable)


def test_parts_merge_into_the_whole() -> None:
    model = mlp()
    optimizer = trained(torch.optim.Adam, model, lr=0.01)
    whole = seen(model, optimizer)
    parts = [replace(whole, squares=s, along=a) for s, a in zip(
        np.split(whole.squares, 2), np.split(whole.along, 2), strict=True)]  # fmt: skip
    merged = parts[0].merge(parts[1])
    np.testing.assert_array_equal(merged.squares, whole.squares)
    np.testing.assert_array_equal(merged.along, whole.along)


def subject_of(made: Trained) -> Subject:
    recipe = made.recipe
    parts = live_parts(
        made.model, recipe.build, recipe.loss,
        made.data.train.loader(recipe.batch_size, True), made.data.val.loader(32, False),
        None, None, "cpu", made.optimizer,
    )  # fmt: skip
    return assemble(parts, AuditSpec(audit=AuditSettings(device="cpu")))


def kept_by(recipe: Recipe) -> GradientMemory:
    found = swept(subject_of(recipe.trained(0)), replace(ASKED, batches=16))
    assert isinstance(found, GradientMemory), found
    return found


FAMILIES = ("diabetes_mlp", "digits_mlp", "name_gru", "plain_cnn")


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_never_zeroed_are_seen_in_every_family(family: str) -> None:
    healthy = kept_by(ZOO[family])
    assert healthy.excess()[0] < 1
    assert said_of_sums(healthy) == ()
    (said,) = said_of_sums(kept_by(replace(ZOO[family], zero_grad=False)))
    assert said.verdict in (Verdict.WARN, Verdict.FAIL)
    assert said.where[0].name == "training.zero_grad"


@pytest.mark.parametrize("factor", [0.1, 10.0, 100.0])
def test_a_rate_that_is_off_makes_no_sums(factor: float) -> None:
    recipe = ZOO["diabetes_mlp"]
    optimizer = {**recipe.optimizer, "lr": recipe.optimizer["lr"] * factor}
    assert said_of_sums(kept_by(replace(recipe, optimizer=optimizer))) == ()


def test_a_loss_that_was_larger_by_a_factor_makes_no_sums() -> None:
    """Its average is as long as a sum, and lies no better with the past than with the present."""

    def larger(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return 30 * nn.functional.cross_entropy(outputs, target)

    made = replace(ZOO["plain_cnn"], loss=larger).trained(0)
    made.recipe = ZOO["plain_cnn"]
    found = swept(subject_of(made), replace(ASKED, batches=16))
    assert found.excess()[0] > 4
    assert said_of_sums(found) == ()
