"""Which parameters get a gradient, against plain passes over a table of awkward models."""

import numpy as np
import pytest
import torch
from torch import nn

from auditor.core.request import Failed, Unavailable
from auditor.engine.perform import perform
from auditor.engine.plan import Work
from auditor.intake.preserve import preserved
from auditor.intake.seeding import derived_seed, seeded
from auditor.intake.subject import Subject
from auditor.observations.initial_weights import InitialWeightsOf
from auditor.observations.reach import ParameterReach, ParameterReachOver, SilenceCausesOver
from auditor.observations.step_changes import StepChangesOver
from tests.awkward import BY_NAME, TABLE, Awkward, mlp, subject_of, vectors
from tests.observers.naive import swept

OVER = ParameterReachOver(4, "val")


def by_hand(subject: Subject) -> tuple[dict[str, list[int]], set[str]]:
    """Return by parameter the batches with no gradient and with zeros, and the modules that ran."""
    model = subject.model
    assert model is not None
    assert subject.loss is not None
    named = {name: p for name, p in model.named_parameters() if p.requires_grad}
    counts = {name: [0, 0] for name, _ in model.named_parameters()}
    ran: set[str] = set()
    hooks = [
        module.register_forward_pre_hook(lambda m, a, name=name: ran.add(name))
        for name, module in model.named_modules()
    ]
    sweep = OVER.sweep
    with preserved(model), seeded(derived_seed(subject.seed, f"sweep {sweep}")):
        model.train()
        for batch in subject.batches("val", 4):
            loss = subject.loss(model(*batch.args, **batch.kwargs), batch.target)
            found: tuple[torch.Tensor | None, ...] = (None,) * len(named)
            if named and loss.requires_grad:
                found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
            given = dict(zip(named, found, strict=True))
            for name, count in counts.items():
                gradient = given.get(name)
                count[0] += gradient is None
                count[1] += gradient is not None and not gradient.to_dense().any()
    for hook in hooks:
        hook.remove()
    return counts, ran


@pytest.mark.parametrize("case", TABLE, ids=str)
def test_counts_agree_with_plain_passes(case: Awkward) -> None:
    subject = case.subject()
    seen = swept(subject, OVER)
    counts, ran = by_hand(case.subject())
    if isinstance(seen, Unavailable):
        assert not counts
        return
    assert isinstance(seen, ParameterReach)
    assert dict(zip(seen.parameters, seen.counts[:, :2].tolist(), strict=True)) == counts
    assert seen.counts[:, 2].sum() == 0
    assert seen.batches == 4
    assert not any(
        name == idle or name.startswith(f"{idle}.") for idle in seen.idle for name in ran
    )


def test_idle_modules_and_shared_weights_are_named() -> None:
    seen = swept(BY_NAME["never-called"].subject(), OVER)
    assert seen.idle == ("unused", "lent", "unused_bn")
    ran = dict(zip(seen.parameters, seen.ran, strict=True))
    assert ran["used.weight"]
    assert not ran["lent.weight"]
    tied = swept(BY_NAME["tied"].subject(), OVER)
    aliases = dict(zip(tied.parameters, tied.aliases, strict=True))
    assert aliases["embed.weight"] == ("head.weight",)


def test_gradients_that_are_not_finite_are_counted_apart() -> None:
    model = mlp()
    with torch.no_grad():
        model[5].bias[0] = torch.inf
    seen = swept(subject_of(model, vectors(), "cross_entropy"), OVER)
    assert seen.counts[:, 2].max() == 4
    assert seen.counts[:, :2].max() == 0


class Sometimes(nn.Module):
    """Uses one layer or another by the first value of a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(8, 3), nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.a(x) if x[0, 0] > 0 else self.b(x)


@pytest.mark.parametrize("name", ["shared-relu", "never-called", "tied", "sometimes"])
def test_parts_merge_into_the_whole(name: str) -> None:
    case = BY_NAME.get(name) or Awkward(name, "-", Sometimes, vectors)
    batches = case.batches()
    whole = swept(case.subject(batches=batches), OVER)
    cuts = (batches[:1], batches[1:3], batches[3:])
    a, b, c = (swept(case.subject(batches=part), OVER) for part in cuts)
    for merged in (a.merge(b).merge(c), a.merge(b.merge(c))):
        assert merged.parameters == whole.parameters
        np.testing.assert_array_equal(merged.counts, whole.counts)
        assert (merged.idle, merged.siblings) == (whole.idle, whole.siblings)
        assert (merged.ran, merged.batches, merged.losses) == (
            whole.ran, whole.batches, whole.losses,
        )  # fmt: skip


@pytest.mark.parametrize("case", TABLE, ids=str)
@pytest.mark.parametrize("factory", [True, False], ids=["factory", "copy"])
def test_no_model_breaks_what_is_tried_on_copies(case: Awkward, factory: bool) -> None:
    subject = case.subject(factory=factory)
    asked = [SilenceCausesOver("val"), StepChangesOver()]
    for request in [*asked, *([InitialWeightsOf()] if factory else [])]:
        work = Work((request,), request.cost({"train": 4, "val": 4}))
        ((_, answer),) = perform(work, subject)
        assert not isinstance(answer, Failed), (request, answer)


def test_the_plain_causes_of_silence() -> None:
    ((_, seen),) = perform(
        Work((request := SilenceCausesOver("val"),), request.cost({})),
        BY_NAME["never-called"].subject(),
    )
    assert set(seen.silent) == {
        "unused.weight", "unused.bias", "lent.bias", "unused_bn.weight", "unused_bn.bias",
    }  # fmt: skip
    assert seen.cut_off == seen.waiting == ()
