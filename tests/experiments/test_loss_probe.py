from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.experiments.loss_probe import loss_probe, probed
from auditor.intake.losses import main_output, matched
from auditor.observations.loss_probe import LossProbe, LossProbeOver
from tests.awkward import TABLE, Awkward, mlp, numbers, subject_of, vectors

REQUEST = LossProbeOver(split="train")


@pytest.mark.parametrize("case", TABLE, ids=str)
@pytest.mark.parametrize("factory", [True, False], ids=["factory", "copy"])
def test_losses_and_rows_are_those_of_plain_passes(case: Awkward, factory: bool) -> None:
    seen = loss_probe(REQUEST, case.subject(factory=factory))
    model = case.model().eval()
    loss = case.loss if callable(case.loss) else getattr(functional, case.loss)
    whole = []
    with torch.no_grad():
        for number, (inputs, target) in enumerate(case.batches()):
            if number == 3 or case.name in ("time-first", "scalar-output"):
                continue
            outputs = model(**inputs) if isinstance(inputs, dict) else model(inputs)
            main = main_output(outputs)
            if isinstance(case.loss, str):
                main, target = matched(main, target, case.loss)
                whole.append(float(loss(main, target)))
            elif isinstance(case.loss, nn.Module):
                whole.append(float(loss(main, target.to(main.dtype).reshape(main.shape))))
            else:
                whole.append(float(loss(outputs, target)))
    rough = 3e-2 if case.name == "bfloat16" else 1e-4
    np.testing.assert_allclose(seen.whole[: len(whole)], whole, rtol=rough)
    if case.name != "scalar-output":
        assert len(seen.outputs) == len(seen.targets) == seen.counted
        if case.name != "no-parameters":
            assert seen.outputs.shape[1] == seen.shaken.shape[1]
        assert "" not in seen.acts_like
    assert not seen.unpaired


def probe(model: nn.Module, batches: Any, loss: Any, task: Any = None) -> LossProbe:
    subject = subject_of(model, batches, loss, task=task)
    return probed(subject, "train", 4)


WEIGHT = torch.tensor([0.5, 1.0, 3.0])


def by_hand(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -torch.log_softmax(outputs, 1)[range(len(target)), target].sum()


def focal(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    right = torch.softmax(outputs, 1)[range(len(target)), target]
    return (-((1 - right) ** 2) * right.log()).mean()


@pytest.mark.parametrize(
    ("loss", "name", "ratio"),
    [
        ("cross_entropy", "cross_entropy", 1.0),
        (nn.CrossEntropyLoss(reduction="sum"), "cross_entropy", 2.0),
        (nn.CrossEntropyLoss(label_smoothing=0.1), "cross_entropy", 1.0),
        (by_hand, "cross_entropy", 2.0),
        (lambda o, t: functional.nll_loss(o, t), "nll_loss", 1.0),
        (focal, "softmax", 1.0),
        (lambda o, t: functional.cross_entropy(o, t, weight=WEIGHT), "softmax", None),
        (lambda o, t: functional.cross_entropy(o, t, label_smoothing=0.1), "softmax", 1.0),
        (lambda o, t: functional.multi_margin_loss(o, t), "", 1.0),
        (lambda o, t: -o.sigmoid().gather(1, t.unsqueeze(1)).log().mean(), "", 1.0),
        (lambda o, t: (o.softmax(1) - functional.one_hot(t, 3)).square().mean(), "softmax", 1.0),
        (lambda o, t: (o - functional.one_hot(t, 3)).square().mean(), "", 1.0),
    ],
)
def test_a_loss_is_known_by_its_values(loss: Any, name: str, ratio: float) -> None:
    seen = probe(mlp(), vectors(), loss)
    assert seen.acts_like == (name,)
    assert len(seen.whole) == 4
    # The last batch has three examples, of which two are taken.
    if ratio is not None:
        np.testing.assert_allclose(seen.whole / seen.halves.mean(axis=1), ratio, rtol=1e-4)
        known = np.isfinite(seen.quarters)
        assert known.tolist() == [len(x) // 2 * 2 % 4 == 0 for x, _ in vectors()[:4]]
        kept = seen.halves.mean(axis=1)[known] / seen.quarters[known]
        np.testing.assert_allclose(kept, ratio, rtol=1e-4)


@pytest.mark.parametrize(
    ("loss", "name"),
    [
        (lambda o, t: functional.binary_cross_entropy_with_logits(o, t, weight=1 + t), "sigmoid"),
        (
            lambda o, t: functional.binary_cross_entropy_with_logits(o, t, pos_weight=2 * WEIGHT),
            "sigmoid",
        ),
        (lambda o, t: ((o.sigmoid() - t) ** 2 * functional.softplus(o * (1 - 2 * t))).mean(),
         "sigmoid"),
        (lambda o, t: functional.binary_cross_entropy(o.clamp(0.01, 0.99), t, 1 + t), ""),
        (lambda o, t: ((1 + t) * (o - t).square()).mean(), ""),
        (lambda o, t: (1 - o * (2 * t - 1)).clamp(min=0).mean(), ""),
        (lambda o, t: -(o * (2 * t - 1)).mean(), ""),
        (lambda o, t: -(t * o.log_softmax(1)).sum(1).square().mean(), "softmax"),
    ],
)  # fmt: skip
def test_a_loss_of_labels_is_asked_whether_it_takes_a_sigmoid(loss: Any, name: str) -> None:
    torch.manual_seed(0)
    labels = [(x, (torch.rand(len(x), 3) < 0.5).float()) for x, _ in vectors()]
    assert probe(mlp(), labels, loss, "multilabel").acts_like == (name,)


def test_what_a_loss_of_ones_own_leaves_out_is_found() -> None:
    def hiding(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(outputs, target, ignore_index=1)

    def weighing(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        lost = functional.cross_entropy(outputs, target, reduction="none")
        return (lost * (target != 0)).sum() / 7

    for loss, label, name in ((hiding, 1, "cross_entropy"), (weighing, 0, "softmax")):
        seen = probe(mlp(), vectors(), loss)
        taken = torch.cat([y[: len(y) - len(y) % 2] for _, y in vectors()])
        assert seen.ignored_label == label
        assert seen.ignored == int((taken == label).sum()) > 0
        assert seen.acts_like == (name,)
    sure = mlp()
    with torch.no_grad():
        list(sure.parameters())[-1].copy_(torch.tensor([0.0, 1e4, 0.0]))
    for loss in (focal, lambda o, t: functional.multi_margin_loss(o, t)):
        assert probe(mlp(), vectors(), loss).ignored == 0
        assert probe(sure, vectors(), loss).ignored == 0


@pytest.mark.parametrize(
    ("end", "over"),
    [
        (nn.Softmax(dim=0), True),
        (nn.LogSoftmax(dim=0), True),
        (nn.Softmax(dim=1), False),
        (nn.Identity(), False),
    ],
)
def test_a_softmax_over_the_batch_is_seen(end: nn.Module, over: bool) -> None:
    model = nn.Sequential(mlp(), end)
    assert probe(model, vectors(), "cross_entropy").over_batch is over


def test_a_head_of_zeros_is_stirred() -> None:
    head = nn.Linear(8, 1)
    nn.init.zeros_(head.weight)
    nn.init.zeros_(head.bias)
    assert np.ptp(probe(head, numbers(1), "mse_loss").shaken) > 0


def squared(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return (outputs - target).square().mean()


def test_every_output_against_every_target_is_seen() -> None:
    model = nn.Linear(8, 1)
    paired = [(x, y) for x, y in numbers(1)]
    crossed = [(x, y.squeeze(1)) for x, y in paired]
    assert probe(model, crossed, squared, "regression").unpaired
    assert not probe(model, paired, squared).unpaired
    known = probe(model, crossed, "mse_loss")
    assert known.broadcasts
    assert not known.unpaired
    aware = probe(model, crossed, lambda o, t: squared(o.squeeze(1), t), "regression")
    assert aware.broadcasts
    assert not aware.unpaired


def test_equal_targets_show_no_pairing() -> None:
    crossed = [(x, torch.ones(len(x))) for x, _ in numbers(1)]
    assert not probe(nn.Linear(8, 1), crossed, squared, "regression").unpaired


def test_ignored_targets_are_counted_and_have_no_row() -> None:
    hidden = [(x, y.masked_fill(y == 0, -100)) for x, y in vectors()]
    seen = probe(mlp(), hidden, "cross_entropy")
    taken = torch.cat([y[: len(y) - len(y) % 2] for _, y in hidden])
    assert seen.ignored == int((taken == -100).sum()) > 0
    assert seen.counted == len(seen.targets) == int((taken != -100).sum())


class Saturating(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.fc.weight.abs().max() > 50:
            raise ValueError("weights beyond what this model allows")
        return torch.sigmoid(self.fc(x))


def test_copies_end_in_the_same_activation_and_may_refuse() -> None:
    seen = probe(Saturating(), vectors(), "cross_entropy")
    assert set(seen.shaken_by) == {3.0, 30.0}
    assert seen.shaken.min() >= 0
    assert seen.shaken.max() <= 1


def test_the_same_twice() -> None:
    subject = subject_of(mlp(), vectors(), "cross_entropy")
    one, other = loss_probe(REQUEST, subject), loss_probe(REQUEST, subject)
    np.testing.assert_array_equal(one.shaken, other.shaken)
    np.testing.assert_array_equal(one.outputs, other.outputs)


def chances(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(functional.one_hot(target, 3) * outputs.log()).sum(1).mean()


def labels_by_hand(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    yes = torch.sigmoid(outputs)
    return -(target * yes.log() + (1 - target) * (1 - yes).log()).mean()


@pytest.mark.parametrize(
    ("end", "loss", "unstable"),
    [
        (nn.Identity(), by_hand, False),
        (nn.Identity(), lambda o, t: -o.softmax(1)[range(len(t)), t].log().mean(), True),
        (nn.Identity(), lambda o, t: -(o.softmax(1)[range(len(t)), t] + 1e-9).log().mean(), False),
        (nn.Identity(), "cross_entropy", False),
        (nn.Softmax(1), chances, True),
        (nn.Softmax(1), lambda o, t: chances(o.clamp(1e-7, 1), t), False),
        (nn.LogSoftmax(1), lambda o, t: -o[range(len(t)), t].mean(), False),
    ],
)
def test_a_logarithm_of_nothing_is_found(end: nn.Module, loss: Any, unstable: bool) -> None:
    assert probe(nn.Sequential(mlp(), end), vectors(), loss).unstable is unstable


@pytest.mark.parametrize("loss", [labels_by_hand, functional.binary_cross_entropy_with_logits])
def test_a_logarithm_of_no_label_is_found(loss: Any) -> None:
    batches = [(x, torch.stack([y == 0, y == 1, y < 2], 1).float()) for x, y in vectors()]
    assert probe(mlp(), batches, loss).unstable is (loss is labels_by_hand)


def summed_by_hand(outputs: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    return -(functional.one_hot(target, 3) * outputs.log()).sum()


def with_softmax() -> nn.Module:
    return nn.Sequential(mlp(), nn.Softmax(1))


@pytest.mark.parametrize("factory", [True, False], ids=["factory", "none"])
def test_a_fresh_model_stands_in_for_outputs_that_are_not_finite(factory: bool) -> None:
    model = with_softmax()
    with torch.no_grad():
        next(model.parameters()).fill_(torch.nan)
    subject = subject_of(
        model, vectors(), summed_by_hand, factory=with_softmax if factory else None
    )
    seen = probed(subject, "train", 4)
    assert seen.fresh is factory
    assert bool(np.isfinite(seen.outputs).all()) is factory
    if factory:
        assert subject.facts.task == "multiclass"
        np.testing.assert_allclose(seen.whole, 2 * seen.halves.mean(axis=1), rtol=1e-4)
        assert seen.unstable


def test_a_checkpoint_some_of_whose_outputs_are_finite_is_asked_itself() -> None:
    model = with_softmax()
    batches = vectors()
    batches[0][0][0] = torch.nan
    seen = probed(subject_of(model, batches, summed_by_hand, factory=with_softmax), "train", 4)
    assert not seen.fresh
