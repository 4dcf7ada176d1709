import copy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Cost, Unavailable
from auditor.experiments.examples import gathered, mixed
from auditor.experiments.gradient_noise import FEWEST, gradient_noise
from auditor.experiments.gradient_sketch import Sketch
from auditor.experiments.lab import private_copy
from auditor.intake.seeding import derived_seed, seeded
from auditor.observations.gradient_noise import PIECES, GradientNoise, GradientNoiseFrom, scale_of
from tests.awkward import TABLE, Awkward, mlp, subject_of, vectors

AT = GradientNoiseFrom(start="checkpoint", split="train")
FRESH = GradientNoiseFrom(start="fresh", split="train")


def batches(count: int, size: int, width: int = 8) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [
        (
            torch.randn(size, width, generator=generator),
            torch.randint(3, (size,), generator=generator),
        )
        for _ in range(count)
    ]


def normed() -> nn.Module:
    return nn.Sequential(nn.Linear(8, 6), nn.BatchNorm1d(6), nn.ReLU(), nn.Linear(6, 3)).eval()


def seen(request: GradientNoiseFrom, *args: Any, **kwargs: Any) -> GradientNoise:
    answer = gradient_noise(request, subject_of(*args, "cross_entropy", **kwargs))
    assert isinstance(answer, GradientNoise), answer
    return answer


def test_products_are_those_of_plain_autograd_in_training_mode() -> None:
    subject = subject_of(normed(), batches(4, 32), "cross_entropy")
    found = gradient_noise(AT, subject)
    assert isinstance(found, GradientNoise)
    assert found.products.shape == (PIECES, PIECES)
    assert found.size == 8
    assert found.examples == 128
    assert found.width == 0
    with seeded(derived_seed(subject.seed, "gradient noise")):
        pieces = mixed(gathered(subject, "train", 16), 8)
    rows = []
    for piece in pieces:
        copied = private_copy(subject).train()
        functional.cross_entropy(copied(*piece.args), piece.target).backward()
        rows.append(torch.cat([p.grad.flatten() for p in copied.parameters()]).double())
    table = torch.stack(rows)
    np.testing.assert_allclose(found.products, (table @ table.T).numpy(), rtol=1e-4, atol=1e-9)


@pytest.mark.parametrize(
    ("count", "size", "piece"),
    [
        (600, 1, 32),
        (300, 2, 32),
        (100, 8, 32),
        (40, 32, 32),
        (20, 256, 128),
        (1, 400, 25),
        (3, 10, 2),
        (1, 6, 1),
    ],
)
def test_pieces_suit_any_batch(count: int, size: int, piece: int) -> None:
    found = seen(AT, mlp(), batches(count, size))
    assert found.size == piece
    assert found.examples <= count * size
    assert len(found.products) == min(PIECES, count * size // piece)


def test_the_scale_does_not_hang_on_the_batch_of_the_loader() -> None:
    whole = batches(1, 512)[0]
    small = list(zip(whole[0].split(2), whole[1].split(2), strict=True))
    model = normed()
    one, many = seen(AT, model, [whole]), seen(AT, model, small)
    assert scale_of(one).value == pytest.approx(scale_of(many).value, rel=1e-3)


def test_fresh_weights_are_other_weights() -> None:
    data = batches(4, 32)
    model = mlp()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3)
    at, fresh = seen(AT, model, data), seen(FRESH, model, data, factory=mlp)
    assert (at.start, fresh.start) == ("checkpoint", "fresh")
    assert not np.allclose(at.products, fresh.products)


def test_too_few_examples_are_no_sample() -> None:
    answer = gradient_noise(AT, subject_of(mlp(), batches(1, 3), "cross_entropy"))
    assert isinstance(answer, Unavailable)
    assert "3 pieces" in answer.reason


def test_whole_batches_of_a_custom_task_stay_whole() -> None:
    def loss(outputs: Any, target: Any) -> torch.Tensor:
        similar = outputs @ outputs.T
        return functional.cross_entropy(similar, torch.arange(len(outputs)))

    found = gradient_noise(AT, subject_of(mlp(), batches(6, 12), loss, task="custom"))
    assert isinstance(found, GradientNoise)
    assert (found.size, len(found.products)) == (12, 6)
    assert "whole" in found.note
    few = gradient_noise(AT, subject_of(mlp(), batches(2, 12), loss, task="custom"))
    assert isinstance(few, Unavailable)
    assert "custom" in few.reason


def test_batches_that_cannot_be_joined_stay_whole() -> None:
    class Mean(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.head = nn.Linear(1, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.head(x.mean(1, keepdim=True))

    data = [(torch.randn(4, 5 + i), torch.randint(3, (4,))) for i in range(7)]
    found = gradient_noise(AT, subject_of(Mean(), data, "cross_entropy"))
    assert isinstance(found, GradientNoise)
    assert (found.size, len(found.products)) == (4, 7)


def damaged(what: str) -> nn.Module:
    model = mlp()
    with torch.no_grad():
        for parameter in model.parameters():
            if what == "frozen":
                parameter.requires_grad_(False)
            elif what == "nan":
                parameter.fill_(float("nan"))
    return model


@pytest.mark.parametrize(
    ("what", "reason"), [("frozen", "no trainable parameters"), ("nan", "not finite")]
)
def test_what_has_no_gradient_says_so(what: str, reason: str) -> None:
    answer = gradient_noise(AT, subject_of(damaged(what), batches(4, 32), "cross_entropy"))
    assert isinstance(answer, Unavailable)
    assert reason in answer.reason


def test_a_constant_loss_has_no_gradient() -> None:
    def loss(outputs: Any, target: Any) -> torch.Tensor:
        return (outputs * 0).sum()

    answer = gradient_noise(AT, subject_of(mlp(), batches(4, 32), loss))
    assert isinstance(answer, Unavailable)
    assert "exactly zero" in answer.reason


def test_a_dear_model_gets_smaller_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subject_of(mlp(), batches(16, 32), "cross_entropy")
    monkeypatch.setattr("auditor.experiments.lab.CALL", 1.0)
    dear = replace(subject, facts=replace(subject.facts, flops=2e8))
    answer = gradient_noise(AT, dear)
    assert isinstance(answer, GradientNoise)
    assert answer.size < 32
    assert "afforded" in answer.note
    assert FEWEST <= len(answer.products) <= PIECES


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_awkward_models_are_answered_and_left_alone(case: Awkward) -> None:
    subject = case.subject()
    before = copy.deepcopy(subject.model.state_dict())
    answer = gradient_noise(AT, subject)
    assert isinstance(answer, GradientNoise | Unavailable)
    if isinstance(answer, GradientNoise):
        assert np.isfinite(answer.products).all()
        assert answer.products.trace() > 0
        again = gradient_noise(AT, subject)
        assert isinstance(again, GradientNoise)
        np.testing.assert_array_equal(answer.products, again.products)
    after = subject.model.state_dict()
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=0, atol=0, equal_nan=True)


def test_sketches_keep_inner_products() -> None:
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.zeros(300, 200)), nn.Parameter(torch.zeros(70))]
    sketch, whole = Sketch(parameters, 0, width=4096), Sketch(parameters, 0)
    assert sketch.folded
    assert not whole.folded
    common = [torch.randn_like(p) for p in parameters]
    rows, exact = [], []
    for _ in range(8):
        for parameter, shared in zip(parameters, common, strict=True):
            parameter.grad = shared + torch.randn_like(parameter)
        rows.append(sketch.taken())
        exact.append(whole.taken())
    folded, true = torch.stack(rows), torch.stack(exact)
    assert folded.shape == (8, 4096)
    lengths = true.norm(dim=1)
    off = (folded @ folded.T - true @ true.T) / lengths.outer(lengths)
    # The standard deviation is at most the root of 2 / 4096.
    assert float(off.abs().max()) < 5 * (2 / 4096) ** 0.5


def test_sketches_take_gradients_of_any_kind() -> None:
    embedding = nn.Embedding(6, 2, sparse=True)
    embedding(torch.tensor([1, 1])).sum().backward()
    unused = nn.Parameter(torch.zeros(3))
    waves = nn.Parameter(torch.zeros(2, dtype=torch.complex64))
    waves.grad = torch.tensor([1 + 2j, 3 + 4j])
    half = nn.Parameter(torch.zeros(1, dtype=torch.float16))
    half.grad = torch.full((1,), 5.0, dtype=torch.float16)
    taken = Sketch([embedding.weight, unused, waves, half], 0).taken()
    assert taken.tolist() == [0, 0, 2, 2, *[0] * 8, 0, 0, 0, 1, 2, 3, 4, 5]


def test_a_piece_costs_a_pass() -> None:
    passes = []

    def counting(outputs: Any, target: Any) -> torch.Tensor:
        passes.append(len(outputs))
        return functional.cross_entropy(outputs, target)

    subject = subject_of(mlp(), batches(43, 32), counting)
    passes.clear()
    assert isinstance(gradient_noise(AT, subject), GradientNoise)
    assert passes == [32] * PIECES
    assert AT.cost({"train": 43}) == Cost(PIECES, PIECES)
    assert AT.looked_at({"train": 43}) == {"train": PIECES}
    assert AT.looked_at({"train": 3}) == {"train": 3}


def test_vectors_of_the_table_make_pieces_of_two() -> None:
    assert seen(AT, mlp(), vectors()).size == 2
