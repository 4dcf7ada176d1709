"""Examples that are traced, and what is said of their inputs."""

import math

import pytest
import torch
from torch import nn

from auditor.intake.batches import Batch
from auditor.observations.finite import NonFiniteInTrainingOver, NonFiniteOver
from auditor.observers.culprits import difference
from tests.awkward import subject_of
from tests.observers.naive import swept

EVAL = NonFiniteOver(4, "val")


class Rooted(nn.Module):
    """Its root has no finite slope at zero; its logarithm no finite value."""

    def __init__(self, function: str) -> None:
        super().__init__()
        self.enter, self.head, self.function = nn.Linear(8, 5), nn.Linear(5, 3), function
        with torch.no_grad():
            self.enter.bias.zero_()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        size = x.square().sum(1, keepdim=True)
        return self.head(x + (size.sqrt() if self.function == "sqrt" else size.log()))


def batches(spoil: dict[tuple[int, int], float]) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    made = [
        (torch.randn(6, 8, generator=generator), torch.randint(0, 3, (6,), generator=generator))
        for _ in range(4)
    ]
    for (batch, row), value in spoil.items():
        made[batch][0][row] = value
    return made


def test_the_one_example_that_makes_an_infinity_is_found() -> None:
    torch.manual_seed(0)
    subject = subject_of(Rooted("log"), batches({(2, 4): 0.0}), "cross_entropy")
    seen = swept(subject, EVAL)
    (culprit,) = seen.culprits
    assert (culprit.example, culprit.batch, culprit.alone, culprit.rest) == (16, 2, True, True)
    assert culprit.place == "the input of head"
    assert culprit.kind == "-infinity"
    assert culprit.input == "its input is 0 throughout"
    assert seen.examples == (16,)
    assert seen.whole == 1


def test_a_gradient_is_traced_though_the_values_are_finite() -> None:
    torch.manual_seed(0)
    subject = subject_of(Rooted("sqrt"), batches({(1, 2): 0.0}), "cross_entropy")
    assert swept(subject, EVAL).culprits == ()
    asked = NonFiniteInTrainingOver(batches=4, split="train")
    assert swept(subject, asked).culprits == ()  # No observer beside it asks for gradients.
    from auditor.engine.sweep import run_sweep
    from auditor.observations.gradients import GradientNormsOver
    from auditor.observers import OBSERVERS

    both = {r: OBSERVERS[type(r)](r, subject) for r in (asked, GradientNormsOver(4, "train"))}
    answers = dict(run_sweep(subject, asked.sweep, both))
    seen = answers[asked]
    assert seen.gradient_flags.tolist() == [False, True, False, False]
    (culprit,) = seen.culprits
    assert (culprit.example, culprit.place, culprit.kind) == (8, "the gradient", "NaN")


def test_several_examples_are_found_and_merged_numbers_go_on() -> None:
    torch.manual_seed(0)
    parts = batches({(0, 1): math.inf, (0, 5): math.nan, (3, 0): 1e38})
    model = Rooted("log")
    seen = swept(subject_of(model, parts, "cross_entropy"), EVAL)
    assert [c.example for c in seen.culprits] == [1, 5, 18]
    assert [c.place for c in seen.culprits[:2]] == ["the data", "the data"]
    first = swept(subject_of(model, parts[:2], "cross_entropy"), EVAL)
    second = swept(subject_of(model, parts[2:], "cross_entropy"), EVAL)
    assert first.merge(second).culprits == seen.culprits


def test_what_only_a_batch_does_is_not_blamed_on_an_example() -> None:
    class Centred(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return super().forward(x) / (len(x) < 5)

    seen = swept(subject_of(Centred(8, 3), batches({}), "cross_entropy"), EVAL)
    assert [(c.example, c.alone) for c in seen.culprits] == [(-1, False)] * 3


def batch_of(rows: list[list[float]]) -> Batch:
    return Batch((torch.tensor(rows),), {}, torch.zeros(len(rows)))


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ([1.0, math.nan, 3.0], "its input holds NaN at [1] (1 such values)"),
        ([4.0, 4.0, 4.0], "its input is 4 throughout"),
        (
            [2.0, 3.0, 900.0],
            "its input is 900 at [2], where the others of its batch lie between 4 and 5",
        ),
        ([1.5, 0.0, 4.5], "its input is 0 at [1], where no other of its batch is"),
        ([1.5, 2.5, 4.5], ""),
    ],
)  # fmt: skip
def test_what_stands_out(row: list[float], said: str) -> None:
    batch = batch_of([[1.0, 2.0, 4.0], [2.0, 3.0, 5.0], [1.2, 0.5, 4.2], row])
    assert difference(batch, batch.args, 3, "its input") == said
