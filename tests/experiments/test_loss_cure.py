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


def one_hot(width: int = 3) -> Any:
    return [(x, functional.one_hot(y, width).float()) for x, y in vectors()]


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


def squared(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (outputs - target).square().mean()


@pytest.mark.parametrize(
    ("model", "batches", "loss", "cure"),
    [
        (softly, vectors(), "cross_entropy", lambda o, t: functional.nll_loss(o.log(), t)),
        (
            lambda: softly(3, nn.Sigmoid()),
            vectors(),
            "cross_entropy",
            lambda o, t: functional.cross_entropy(torch.logit(o), t),
        ),
        (
            lambda: softly(3, nn.Tanh()),
            vectors(),
            "cross_entropy",
            lambda o, t: functional.cross_entropy(torch.atanh(o), t),
        ),
        (softly, vectors(), "nll_loss", lambda o, t: functional.nll_loss(o.log(), t)),
        (softly, one_hot(), "mse_loss", lambda o, t: functional.nll_loss(o.log(), t.argmax(1))),
        (
            lambda: softly(1, nn.Sigmoid()),
            [(x, (y > 0).float().unsqueeze(1)) for x, y in vectors()],
            "binary_cross_entropy_with_logits",
            functional.binary_cross_entropy,
        ),
        (
            lambda: softly(1, nn.Identity()),
            [(x, (y > 0).float().unsqueeze(1)) for x, y in vectors()],
            "mse_loss",
            functional.binary_cross_entropy_with_logits,
        ),
        (
            lambda: softly(3, nn.Identity()),
            vectors(),
            nn.CrossEntropyLoss(reduction="sum"),
            functional.cross_entropy,
        ),
        (
            lambda: softly(1, nn.Identity()),
            [(x, x[:, 0]) for x, _ in vectors()],
            squared,
            lambda o, t: squared(o.squeeze(1), t),
        ),
    ],
)
def test_the_checkpoint_is_read_both_ways(model: Any, batches: Any, loss: Any, cure: Any) -> None:
    torch.manual_seed(0)
    audited = model()
    seen = loss_cure(REQUEST, subject_of(audited, batches, loss, factory=model))
    assert isinstance(seen, LossCure), seen
    plain = getattr(functional, loss) if isinstance(loss, str) else loss
    sizes = [len(x) for x, _ in batches]
    with torch.no_grad():
        as_is = [float(plain(audited(x), y)) for x, y in batches]
        cured = [float(cure(audited(x), y)) for x, y in batches]
    assert seen.checkpoint_as_is == pytest.approx(np.average(as_is, weights=sizes), rel=1e-4)
    assert seen.checkpoint_cured == pytest.approx(np.average(cured, weights=sizes), rel=1e-4)
    assert len(seen.as_is) == len(seen.cured) == 6
    assert len(seen.scores_as_is) == len(seen.scores_cured) == 21


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
