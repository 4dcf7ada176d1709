import copy
import dataclasses
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.core.subject import CheckpointFacts
from auditor.experiments.lab import cycled, halving, private_copy
from auditor.experiments.updates import update_ratios
from auditor.intake.checkpoint import Checkpoint
from auditor.intake.losses import main_output, matched
from auditor.intake.seeding import derived_seed, seeded
from auditor.observations.updates import UpdateRatios, UpdateRatiosFrom
from tests.awkward import BY_NAME, TABLE, Awkward, subject_of, vectors

TRAINED = [case for case in TABLE if case.trains]
FROM_CHECKPOINT = UpdateRatiosFrom(start="checkpoint", steps=6)
FRESH = UpdateRatiosFrom(start="fresh", steps=6)


def by_hand(case: Awkward, model: nn.Module, steps: int, seed: int) -> tuple[Any, list[float]]:
    """Return |Δw| / |w| by parameter name and step, of plain training, and the losses."""
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    optimizer = torch.optim.SGD(named.values(), lr=case.optimizer.lr, momentum=0.9)
    batches = case.batches()
    rows: list[dict[str, float]] = []
    losses = []
    model.train()
    for step in range(steps):
        inputs, target = batches[step % len(batches)]
        outputs = model(**inputs) if isinstance(inputs, dict) else model(inputs)
        if isinstance(case.loss, str):
            loss = getattr(functional, case.loss)(*matched(main_output(outputs), target, case.loss))
        elif isinstance(case.loss, nn.Module):
            loss = case.loss(outputs, target.to(outputs.dtype).reshape(outputs.shape))
        else:
            loss = case.loss(outputs, target)
        optimizer.zero_grad()
        loss.backward()
        before = {name: p.detach().clone() for name, p in named.items()}
        optimizer.step()
        rows.append({name: _ratio(p.detach(), before[name]) for name, p in named.items()})
        losses.append(float(loss.detach()))
    return rows, losses


def _ratio(after: torch.Tensor, before: torch.Tensor) -> float:
    kind = torch.complex128 if before.is_complex() else torch.float64
    moved, old = after.to(kind) - before.to(kind), before.to(kind)
    with np.errstate(divide="ignore", invalid="ignore"):
        return float(
            np.float64(moved.abs().square().sum().sqrt())
            / np.float64(old.abs().square().sum().sqrt())
        )


@pytest.mark.parametrize("case", TRAINED, ids=str)
@pytest.mark.parametrize("factory", [True, False], ids=["factory", "copy"])
def test_ratios_from_the_checkpoint_agree_with_plain_training(case: Awkward, factory: bool) -> None:
    subject = case.subject(factory=factory)
    seen = update_ratios(FROM_CHECKPOINT, subject)
    assert isinstance(seen, UpdateRatios), seen
    twin = case.model()
    seed = derived_seed(subject.seed, FROM_CHECKPOINT.key)
    with seeded(seed):
        rows, losses = by_hand(case, twin, 6, seed)
    rough = 5e-2 if case.name == "bfloat16" else 1e-3
    np.testing.assert_allclose(seen.losses, losses, rtol=rough)
    for step, row in enumerate(rows):
        for name, value in zip(seen.parameters, seen.ratios[step], strict=True):
            assert value == pytest.approx(row[name], rel=rough, abs=1e-6, nan_ok=True), (step, name)
    assert seen.start == "checkpoint"
    assert not seen.restored
    assert seen.note == ""


@pytest.mark.parametrize("name", ["mlp", "shared-relu", "lstm"])
def test_ratios_from_fresh_weights_are_those_of_a_fresh_model(name: str) -> None:
    case = BY_NAME[name]
    subject = case.subject()
    seen = update_ratios(FRESH, subject)
    seed = derived_seed(subject.seed, FRESH.key)
    with seeded(seed):
        rows, losses = by_hand(case, subject.fresh(seed), 6, seed)
    np.testing.assert_allclose(seen.losses, losses, rtol=1e-4)
    for step, row in enumerate(rows):
        np.testing.assert_allclose(seen.ratios[step], [row[n] for n in seen.parameters], rtol=1e-3)


@pytest.mark.parametrize("name", ["no-parameters", "frozen-whole"])
@pytest.mark.parametrize("request_", [FRESH, FROM_CHECKPOINT], ids=["fresh", "checkpoint"])
def test_a_model_that_can_not_be_trained_says_so(name: str, request_: UpdateRatiosFrom) -> None:
    answer = update_ratios(request_, BY_NAME[name].subject())
    assert answer == Unavailable("the model has no trainable parameters")


def test_an_optimizer_of_several_passes_a_step_says_so() -> None:
    subject = subject_of(
        nn.Linear(8, 3), vectors(), "cross_entropy", optimizer=OptimizerSpec(name="LBFGS", lr=1.0)
    )
    answer = update_ratios(FROM_CHECKPOINT, subject)
    assert isinstance(answer, Unavailable)
    assert "LBFGS" in answer.reason


def test_training_goes_on_where_the_caller_turned_gradients_off() -> None:
    with torch.no_grad():
        seen = update_ratios(FRESH, BY_NAME["mlp"].subject())
    assert (seen.ratios > 0).any()


def test_clipping_bounds_the_step() -> None:
    case = BY_NAME["mlp"]
    free = update_ratios(UpdateRatiosFrom("checkpoint", 1), case.subject())
    clipped_subject = dataclasses.replace(case.subject(), clip_norm=1e-4)
    clipped = update_ratios(UpdateRatiosFrom("checkpoint", 1), clipped_subject)
    assert clipped.ratios.max() < 1e-2 * free.ratios.max()


def with_state(state: dict[str, Any]) -> Any:
    facts = CheckpointFacts("w.pt", "torch", "0" * 64, 1, 1)
    subject = BY_NAME["mlp"].subject()
    weights = {name: tensor.clone() for name, tensor in subject.model.state_dict().items()}
    return dataclasses.replace(
        subject, checkpoint=Checkpoint(weights=weights, facts=facts, extras={}, optimizer=state)
    )


def test_moments_in_the_checkpoint_are_gone_on_from_and_left_as_they_are() -> None:
    model = BY_NAME["mlp"].model()
    optimizer = torch.optim.SGD(model.parameters(), lr=9.0, momentum=0.9)
    for _ in range(3):
        x, y = vectors()[0]
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    state = optimizer.state_dict()
    kept = copy.deepcopy(state)
    subject = with_state(state)
    seen = update_ratios(FROM_CHECKPOINT, subject)
    again = update_ratios(FROM_CHECKPOINT, subject)
    assert seen.restored
    assert seen.learning_rate == 0.05
    np.testing.assert_array_equal(seen.ratios, again.ratios)
    for key, slots in kept["state"].items():
        assert torch.equal(state["state"][key]["momentum_buffer"], slots["momentum_buffer"])


def test_moments_of_another_optimizer_are_not_gone_on_from() -> None:
    subject = with_state({"state": {}, "param_groups": [{"lr": 1.0, "params": [0]}]})
    assert not update_ratios(FROM_CHECKPOINT, subject).restored


def test_batches_come_round_again_and_those_of_one_are_left_out() -> None:
    batches = [*vectors(), (torch.zeros(1, 8), torch.zeros(1).long())]
    subject = BY_NAME["mlp"].subject(batches=batches)
    assert [batch.size for batch in cycled(subject, "train", 6)] == [6, 6, 6, 3, 6, 6]
    assert [batch.size for batch in cycled(subject, "train", 5, 0.5)] == [3, 3, 3, 1, 3]
    single = BY_NAME["mlp"].subject(batches=batches[-1:])
    assert [batch.size for batch in cycled(single, "train", 3)] == [1, 1, 1]


def test_memory_trouble_halves_the_batch_and_is_told() -> None:
    tried = []

    def attempt(fraction: float) -> str:
        tried.append(fraction)
        if fraction > 0.25:
            raise torch.OutOfMemoryError
        return "made"

    made, note = halving(attempt)
    assert (made, tried) == ("made", [1.0, 0.5, 0.25])
    assert "25%" in note

    def hopeless(fraction: float) -> str:
        raise MemoryError

    with pytest.raises(MemoryError):
        halving(hopeless)


@pytest.mark.parametrize("case", TABLE, ids=str)
@pytest.mark.parametrize("factory", [True, False], ids=["factory", "copy"])
def test_a_private_copy_is_equal_and_shares_nothing(case: Awkward, factory: bool) -> None:
    subject = case.subject(factory=factory)
    model = subject.model
    twin = private_copy(subject)
    mine, theirs = model.state_dict(), twin.state_dict()
    assert mine.keys() == theirs.keys()
    for name, tensor in mine.items():
        assert torch.equal(tensor, theirs[name]), name
        assert not tensor.numel() or tensor.data_ptr() != theirs[name].data_ptr(), name
    flags = [p.requires_grad for p in model.parameters()]
    assert [p.requires_grad for p in twin.parameters()] == flags


def test_what_gets_its_first_gradient_later_is_told() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body, self.scale = nn.Linear(8, 8), nn.Parameter(torch.zeros(8))
            self.head, self.spare = nn.Linear(8, 3), nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x + self.scale * self.body(x))

    subject = subject_of(Residual(), vectors(), "cross_entropy", factory=Residual)
    found = update_ratios(UpdateRatiosFrom(steps=4), subject)
    assert isinstance(found, UpdateRatios)
    waiting = [n for n, waits in zip(found.parameters, found.waits, strict=True) if waits]
    assert waiting == ["body.weight", "body.bias"]


def test_the_whole_gradient_is_measured_before_it_is_clipped() -> None:
    subject = BY_NAME["encoder"].subject()
    plain = update_ratios(FRESH, subject)
    clipped = update_ratios(FRESH, dataclasses.replace(subject, clip_norm=1e-6))
    assert isinstance(plain, UpdateRatios)
    assert isinstance(clipped, UpdateRatios)
    assert plain.gradient_norms.shape == (6,)
    assert clipped.gradient_norms[0] == pytest.approx(plain.gradient_norms[0])
    assert (clipped.gradient_norms > 1e-3).all()


def test_an_optimizer_that_refuses_dense_gradients_is_no_error() -> None:
    subject = BY_NAME["encoder"].subject()
    refusing = OptimizerSpec(name="SparseAdam", lr=1e-3)
    answer = update_ratios(FRESH, dataclasses.replace(subject, optimizer=refusing))
    assert isinstance(answer, Unavailable)
    assert "dense gradients" in answer.reason
