from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.experiments.loss_cure import loss_cure
from auditor.intake.seeding import derived_seed, seeded
from auditor.observations.loss_cure import LossCure, LossCureFrom
from tests.awkward import TABLE, Awkward, subject_of, vectors

REQUEST = LossCureFrom(steps=6, split="train")
ADAM = OptimizerSpec(name="Adam", lr=0.01)


def softly(width: int = 3, end: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(nn.Linear(8, width), end or nn.Softmax(dim=1))


def rows() -> Any:
    """Return more rows than it takes to call targets exclusive."""
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(64, 8, generator=generator)
    labels = torch.randint(0, 3, (64,), generator=generator)
    return list(zip(inputs.split(16), labels.split(16), strict=True))


def one_hot(width: int = 3) -> Any:
    return [(x, functional.one_hot(y, width).float()) for x, y in rows()]


def several() -> Any:
    return [(x, torch.stack([y < 2, y > 0], 1).float()) for x, y in rows()]


WEIGHT = torch.tensor([0.5, 1.0, 3.0])


def binary() -> Any:
    return [(x, (y > 0).float().unsqueeze(1)) for x, y in rows()]


def by_hand(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return functional.cross_entropy(outputs, target, reduction="sum")


def squared(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (outputs - target).square().mean()


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_where_nothing_is_wrong_nothing_is_tried(case: Awkward) -> None:
    answer = loss_cure(REQUEST, case.subject())
    assert isinstance(answer, Unavailable)
    assert "nothing suggests" in answer.reason


def test_curves_are_those_of_plain_training() -> None:
    batches = vectors()
    subject = subject_of(softly(), batches, "cross_entropy", factory=softly, optimizer=ADAM)
    seen = loss_cure(REQUEST, subject)
    assert isinstance(seen, LossCure)
    seed = derived_seed(subject.seed, REQUEST.key)
    for curve, cured in ((seen.as_is, False), (seen.cured, True)):
        with seeded(seed):
            model = subject.fresh(seed)
        optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
        wanted = []
        for step in range(6):
            inputs, target = batches[step % len(batches)]
            outputs = model(inputs)
            likelihood = functional.nll_loss(outputs.log(), target)
            optimizer.zero_grad()
            (likelihood if cured else functional.cross_entropy(outputs, target)).backward()
            optimizer.step()
            wanted.append(float(likelihood.detach()))
        np.testing.assert_allclose(curve, wanted, rtol=1e-4)
        right = torch.cat([model(x).argmax(1) == y for x, y in batches]).double().numpy()
        np.testing.assert_array_equal(seen.scores_cured if cured else seen.scores_as_is, right)
    assert seen.metric == "accuracy"
    assert seen.kind == "softmax twice"


@pytest.mark.parametrize(
    ("end", "width", "batches", "loss", "cure"),
    [
        (nn.Softmax(dim=1), 3, vectors(), "cross_entropy",
         lambda o, z, t: functional.nll_loss(o.log(), t)),
        (nn.Softmax(dim=1), 3, vectors(), nn.CrossEntropyLoss(WEIGHT, label_smoothing=0.1),
         lambda o, z, t: functional.cross_entropy(z, t, WEIGHT, label_smoothing=0.1)),
        (nn.Softmax(dim=1), 3, vectors(), lambda o, t: functional.cross_entropy(o, t, WEIGHT),
         lambda o, z, t: functional.cross_entropy(z, t, WEIGHT)),
        (nn.Softmax(dim=1), 3, vectors(), nn.CrossEntropyLoss(reduction="sum"),
         lambda o, z, t: functional.cross_entropy(z, t, reduction="sum")),
        (nn.Sigmoid(), 3, vectors(), "cross_entropy",
         lambda o, z, t: functional.cross_entropy(z, t)),
        (nn.Tanh(), 3, vectors(), "cross_entropy",
         lambda o, z, t: functional.cross_entropy(z, t)),
        (nn.ReLU(), 3, vectors(), "cross_entropy",
         lambda o, z, t: functional.cross_entropy(z, t)),
        (nn.Softmax(dim=0), 3, vectors(), "cross_entropy",
         lambda o, z, t: functional.cross_entropy(z, t)),
        (nn.Softmax(dim=1), 3, vectors(), nn.NLLLoss(WEIGHT),
         lambda o, z, t: functional.nll_loss(o.log(), t, WEIGHT)),
        (nn.Identity(), 3, vectors(), nn.NLLLoss(WEIGHT),
         lambda o, z, t: functional.cross_entropy(z, t, WEIGHT)),
        (nn.Softmax(dim=1), 3, one_hot(), "mse_loss",
         lambda o, z, t: functional.nll_loss(o.log(), t.argmax(1))),
        (nn.Sigmoid(), 2, several(), nn.BCEWithLogitsLoss(pos_weight=WEIGHT[1:]),
         lambda o, z, t: functional.binary_cross_entropy_with_logits(z, t, pos_weight=WEIGHT[1:])),
        (nn.Identity(), 2, several(), "cross_entropy",
         lambda o, z, t: functional.binary_cross_entropy_with_logits(z, t)),
        (nn.Softmax(dim=1), 2, several(), "cross_entropy",
         lambda o, z, t: functional.binary_cross_entropy_with_logits(z, t)),
        (nn.Softmax(dim=1), 2, several(), "binary_cross_entropy",
         lambda o, z, t: functional.binary_cross_entropy_with_logits(z, t)),
        (nn.Softmax(dim=1), 1, binary(), "binary_cross_entropy",
         lambda o, z, t: functional.binary_cross_entropy_with_logits(z, t)),
        (nn.Identity(), 1, binary(), "mse_loss",
         lambda o, z, t: functional.binary_cross_entropy_with_logits(z, t)),
        (nn.Tanh(), 1, [(x, 2 * t - 1) for x, t in binary()], "mse_loss",
         lambda o, z, t: functional.binary_cross_entropy_with_logits(z, (t + 1) / 2)),
        (nn.LogSoftmax(dim=1), 1, [(x, x[:, :1]) for x, _ in vectors()], "mse_loss",
         lambda o, z, t: squared(z, t)),
        (nn.ReLU(), 2, [(x, x[:, :2]) for x, _ in rows()], "l1_loss",
         lambda o, z, t: (z - t).abs().mean()),
        (nn.Identity(), 3, vectors(), by_hand,
         lambda o, z, t: functional.cross_entropy(z, t)),
        (nn.Identity(), 1, [(x, x[:, 0]) for x, _ in vectors()], squared,
         lambda o, z, t: squared(z.squeeze(1), t)),
    ],
)  # fmt: skip
def test_the_checkpoint_is_read_both_ways(
    end: nn.Module, width: int, batches: Any, loss: Any, cure: Any
) -> None:
    torch.manual_seed(0)

    def build() -> nn.Module:
        return softly(width, end)

    audited = build()
    seen = loss_cure(REQUEST, subject_of(audited, batches, loss, factory=build))
    assert isinstance(seen, LossCure), seen
    plain = getattr(functional, loss) if isinstance(loss, str) else loss
    sizes = [len(x) for x, _ in batches]
    with torch.no_grad():
        as_is = [float(plain(audited(x), y)) for x, y in batches]
        cured = [float(cure(audited(x), audited[0](x), y)) for x, y in batches]
    assert seen.checkpoint_as_is == pytest.approx(np.average(as_is, weights=sizes), rel=1e-4)
    assert seen.checkpoint_cured == pytest.approx(np.average(cured, weights=sizes), rel=1e-4)
    assert len(seen.as_is) == len(seen.cured) == 6
    assert len(seen.scores_as_is) == len(seen.scores_cured) == sum(sizes)


def test_an_end_that_can_not_be_left_out_is_no_cure() -> None:
    class Doubled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(8, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return 2 * self.fc(x).sigmoid()

    numbers = [(x, 5 * x[:, :1]) for x, _ in rows()]
    answer = loss_cure(REQUEST, subject_of(Doubled(), numbers, "mse_loss", factory=Doubled))
    assert isinstance(answer, Unavailable)
    assert "no activation that can be left out" in answer.reason


def test_a_loss_that_takes_no_other_outputs_can_not_be_cured() -> None:
    class Outputs(dict[str, torch.Tensor]):
        @property
        def logits(self) -> torch.Tensor:
            return self["logits"]

    class Named(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = softly()

        def forward(self, x: torch.Tensor) -> Outputs:
            return Outputs(logits=self.body(x))

    def named(outputs: Outputs, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs.logits, target)

    answer = loss_cure(REQUEST, subject_of(Named(), vectors(), named, factory=Named))
    assert isinstance(answer, Unavailable)
    assert "logits" in answer.reason


def test_few_rows_suffice_to_suspect() -> None:
    few = [(x, functional.one_hot(y, 3).float()) for x, y in vectors()]
    seen = loss_cure(REQUEST, subject_of(softly(), few, "mse_loss", factory=softly))
    assert seen.kind == "numbers for classes"


def test_labels_are_cut_where_each_copy_says_yes() -> None:
    """A sigmoid's outputs are cut at 0.5, logits at 0, and a softmax's are shares."""

    def sure(end: nn.Module) -> Any:
        return lambda: nn.Sequential(nn.Linear(8, 2), nn.Identity(), end)

    clear = [(x, torch.stack([x[:, 0] > 0, x[:, 1] > 0], 1).float()) for x, _ in rows()]
    for end, loss in (
        (nn.Sigmoid(), "binary_cross_entropy_with_logits"),
        (nn.Identity(), "cross_entropy"),
    ):
        request = LossCureFrom(steps=150, split="train")
        subject = subject_of(
            sure(end)(),
            clear,
            loss,
            factory=sure(end),
            optimizer=OptimizerSpec(name="Adam", lr=0.05),
        )
        seen = loss_cure(request, subject)
        assert isinstance(seen, LossCure)
        assert seen.metric == "accuracy"
        assert seen.scores_cured.mean() > 0.95
        assert 0.6 < seen.scores_as_is.mean() <= seen.scores_cured.mean()
        # A softmax says yes to one of two labels at most.
        assert (seen.scores_as_is.mean() < 0.9) == (loss == "cross_entropy")


def test_without_factory_or_weights_to_train_there_is_no_race() -> None:
    seen = loss_cure(REQUEST, subject_of(softly(), vectors(), "cross_entropy"))
    assert "without a factory" in seen.no_race
    assert not len(seen.as_is)

    def frozen() -> nn.Module:
        return softly().requires_grad_(False)

    seen = loss_cure(REQUEST, subject_of(frozen(), vectors(), "cross_entropy", factory=frozen))
    assert "no trainable" in seen.no_race


def test_an_optimizer_of_several_passes_a_step_is_replaced() -> None:
    subject = subject_of(
        softly(), vectors(), "cross_entropy", factory=softly,
        optimizer=OptimizerSpec(name="LBFGS", lr=1.0),
    )  # fmt: skip
    assert "Adam" in loss_cure(REQUEST, subject).optimizer
