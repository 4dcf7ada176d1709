"""Treatments: copies with and without a remedy, against what is known of them."""

import copy
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

from auditor.core.request import Cost, Unavailable
from auditor.core.spec import OptimizerSpec
from auditor.diagnosis.trying import helped
from auditor.experiments.treatment import renew_statistics, treated
from auditor.intake.subject import Subject
from auditor.observations.treatment import TreatmentOver, Tried
from tests.awkward import TABLE, Awkward, subject_of

SGD = OptimizerSpec(name="SGD", lr=0.05, momentum=0.9)


def clouds(scale: float = 1.0, shift: float = 0.0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return 16 batches of 32 points, four classes apart from one another."""
    generator = torch.Generator().manual_seed(0)
    centres = 2 * torch.randn(4, 12, generator=generator)
    labels = torch.randint(4, (512,), generator=generator)
    points = centres[labels] + torch.randn(512, 12, generator=generator)
    return list(zip((scale * points + shift).split(32), labels.split(32), strict=True))


def net(last: nn.Module | None = None) -> nn.Module:
    return nn.Sequential(
        nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 4), *([last] if last is not None else [])
    )


def subject(factory=net, batches=None, optimizer: OptimizerSpec = SGD) -> Subject:
    torch.manual_seed(0)
    return subject_of(
        factory(), batches or clouds(), "cross_entropy", factory=factory, optimizer=optimizer
    )


def tried(request: TreatmentOver, given: Subject) -> tuple[Tried, Tried]:
    """Return how copies score without a treatment and with it."""
    before, after = treated(request.controls[0], given), treated(request, given)
    assert isinstance(before, Tried)
    assert isinstance(after, Tried)
    return before, after


def gain(answers: tuple[Tried, Tried]) -> float:
    before, after = answers
    return float(after.scores.mean() - before.scores.mean())


def better(answers: tuple[Tried, Tried]) -> bool:
    return helped(*answers, np.random.default_rng(0))


def test_rescaling_helps_inputs_that_are_far_off_and_does_nothing_for_good_ones() -> None:
    request = TreatmentOver(rescaled=True)
    assert better(tried(request, subject(batches=clouds(1e-3, 5.0))))
    assert not better(tried(request, subject()))


@pytest.mark.parametrize("rate", [2e-5, 60.0])
def test_another_rate_helps_where_the_declared_one_is_off(rate: float) -> None:
    declared = OptimizerSpec(name="SGD", lr=rate, momentum=0.9)
    assert better(tried(TreatmentOver(rate=0.05), subject(optimizer=declared)))
    assert not better(tried(TreatmentOver(rate=0.05), subject()))


def test_sound_parameters_revive_dead_units() -> None:
    given = subject()
    assert given.model is not None
    with torch.no_grad():
        given.model[0].bias.fill_(-100.0)
    before = copy.deepcopy(given.model.state_dict())
    answer = tried(TreatmentOver(start="checkpoint", anew="0.bias"), given)
    assert better(answer)
    assert "copies" in answer[1].what
    assert all(torch.equal(before[name], now) for name, now in given.model.state_dict().items())


def test_biases_at_zero_mend_a_trained_model_whose_units_were_pushed_down_untrained() -> None:
    given = subject()
    assert given.model is not None
    trained = torch.optim.Adam(given.model.parameters(), lr=0.01)
    for points, labels in 5 * clouds():
        trained.zero_grad()
        functional.cross_entropy(given.model(points), labels).backward()
        trained.step()
    request = TreatmentOver(start="checkpoint", anew="0.bias", steps=0, seeds=1)
    assert not better(tried(request, given))
    with torch.no_grad():
        given.model[0].bias[2:] = -1e3
    answer = tried(request, given)
    assert better(answer)
    assert [one.what for one in answer] == ["of the checkpoint", "of a copy, not trained on"]
    assert given.model[0].bias[2] == -1e3


def test_the_loss_of_the_logits_helps_where_softmax_is_applied_twice() -> None:
    def twice() -> nn.Module:
        return net(nn.Softmax(dim=1))

    slow = OptimizerSpec(name="SGD", lr=0.01)
    assert better(tried(TreatmentOver(bare=True), subject(twice, optimizer=slow)))
    assert gain(tried(TreatmentOver(bare=True), subject(optimizer=slow))) == 0


def test_clipping_helps_where_one_batch_throws_the_weights_away() -> None:
    *good, (points, labels) = clouds()
    spiked = subject_of(
        net(),
        good,
        "cross_entropy",
        train=[*good, (100 * points, labels.roll(1))],
        factory=net,
        optimizer=SGD,
    )
    assert better(tried(TreatmentOver(clip_norm=1.0), spiked))


def deep(layers: int = 24) -> nn.Module:
    inner = (part for _ in range(layers) for part in (nn.Linear(24, 24), nn.ReLU()))
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), *inner, nn.Linear(24, 4))


def test_shortcuts_help_a_stack_that_is_too_deep_and_no_shallow_one() -> None:
    adam = OptimizerSpec(name="Adam", lr=0.003)
    assert better(tried(TreatmentOver(shortcuts=True), subject(deep, optimizer=adam)))
    shallow = subject(lambda: deep(1), optimizer=adam)
    assert not better(tried(TreatmentOver(shortcuts=True), shallow))
    answer = treated(TreatmentOver(shortcuts=True), subject())
    assert isinstance(answer, Unavailable)
    assert "shape" in answer.reason


def pairs() -> list[tuple[torch.Tensor, torch.Tensor]]:
    points, labels = (torch.cat(part) for part in zip(*clouds(), strict=True))
    return list(zip(points.split(2), labels.split(2), strict=True))


@pytest.mark.parametrize(("rate", "expected"), [(0.1, True), (0.003, False)])
def test_larger_batches_help_where_the_rate_is_too_much_for_small_ones(rate, expected) -> None:
    """As many examples in fewer steps: at a rate that small batches bear, these learn less."""
    declared = OptimizerSpec(name="SGD", lr=rate, momentum=0.9)
    request = TreatmentOver(merged=16, steps=320)
    answers = tried(request, subject(batches=pairs(), optimizer=declared))
    assert better(answers) is expected
    assert [one.what for one in answers] == [
        "of fresh models after 320 steps", "of fresh models after 20 steps of 16 batches"
    ]  # fmt: skip


def test_batches_of_several_shapes_are_not_merged() -> None:
    words = [(torch.randint(9, (4, 5 + n % 2)), torch.randint(2, (4,))) for n in range(32)]
    model = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2))
    request = TreatmentOver(start="checkpoint", merged=4, steps=32)
    answer = treated(request, subject_of(model, words, "cross_entropy"))
    assert isinstance(answer, Unavailable)
    assert "joined" in answer.reason


def test_together_mends_what_no_part_mends() -> None:
    def dead() -> nn.Module:
        model = net(nn.Softmax(dim=1))
        nn.init.constant_(model[0].bias, -1e5)
        return model

    far = subject(dead, clouds(10.0, 100.0), OptimizerSpec(name="SGD", lr=0.01))
    rescaled, anew = TreatmentOver(rescaled=True), TreatmentOver(anew="0.bias")
    whole = rescaled.together(anew)
    assert gain(tried(rescaled, far)) == 0
    assert better(tried(whole, far))


class Normed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(12, 24), nn.BatchNorm1d(24), nn.ReLU())
        self.head = nn.Linear(24, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.body(x))


def test_statistics_anew_are_plain_means_over_training_batches() -> None:
    torch.manual_seed(0)
    model = Normed()
    given = subject_of(model, clouds(), "cross_entropy")
    renewed = copy.deepcopy(model)
    renew_statistics(given, renewed, 16)
    with torch.no_grad():
        entering = [model.body[0](x) for x, _ in clouds()]
    mean = torch.stack([x.mean(0) for x in entering]).mean(0)
    variance = torch.stack([x.var(0) for x in entering]).mean(0)
    torch.testing.assert_close(renewed.body[1].running_mean, mean)
    torch.testing.assert_close(renewed.body[1].running_var, variance)
    assert not renewed.training
    assert not renewed.body[1].training


def test_statistics_anew_mend_stale_ones_and_leave_good_ones() -> None:
    torch.manual_seed(0)
    model = Normed()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for x, y in 3 * clouds():
        optimizer.zero_grad()
        functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    request = TreatmentOver(start="checkpoint", statistics=True, seeds=1)
    assert not better(tried(request, subject_of(model, clouds(), "cross_entropy")))
    with torch.no_grad():
        model.body[1].running_mean += 10
    answer = tried(request, subject_of(model, clouds(), "cross_entropy"))
    assert better(answer)
    assert answer[1].what == "of the checkpoint"


@pytest.mark.parametrize("case", [c for c in TABLE if c.trains][::3], ids=lambda case: case.name)
def test_awkward_models_are_treated_alike_twice_and_left_alone(case: Awkward) -> None:
    given = case.subject()
    assert given.model is not None
    before = copy.deepcopy(given.model.state_dict())
    request = TreatmentOver(start="checkpoint", rescaled=True, clip_norm=0.5, steps=3, seeds=1)
    one, other = treated(request, given), treated(request, given)
    if isinstance(one, Unavailable):
        assert one == other
    else:
        np.testing.assert_array_equal(one.scores, other.scores)
    for name, now in given.model.state_dict().items():
        torch.testing.assert_close(now, before[name], rtol=0, atol=0, equal_nan=True)


def test_words_can_t_be_rescaled() -> None:
    words = [(torch.randint(9, (4, 5)), torch.randint(2, (4,))) for _ in range(3)]
    model = nn.Sequential(nn.EmbeddingBag(9, 4), nn.Linear(4, 2))
    answer = treated(TreatmentOver(start="checkpoint", rescaled=True),
                     subject_of(model, words, "cross_entropy"))  # fmt: skip
    assert isinstance(answer, Unavailable)
    assert "rescaled" in answer.reason


def test_what_a_treatment_needs_and_costs() -> None:
    fresh, kept = TreatmentOver(rescaled=True), TreatmentOver(start="checkpoint", anew="a")
    statistics = TreatmentOver(start="checkpoint", statistics=True, seeds=1)
    assert fresh.needed() - kept.needed() == {"factory"}
    assert "batch_norm" in statistics.needed()
    assert statistics.cost({"train": 5, "val": 3}) == Cost(3 + 5)
    assert kept.cost({"train": 5, "val": 3}).backwards == 60 * 3
    assert replace(fresh, steps=1, seeds=1).cost({"train": 5, "val": 3}) == Cost(1 + 3 + 1, 1)
    assert fresh.looked_at({"train": 5, "val": 30}) == {"train": 60, "val": 8}
    assert statistics.looked_at({"train": 5, "val": 3}) == {"train": 5, "val": 3}
    as_it_is = statistics.controls[0]
    assert as_it_is.cost({"train": 5, "val": 3}) == Cost(3)
    assert "train" not in as_it_is.needed()


def numbers(shift: float = 0.0, scale: float = 1.0) -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    points = torch.randn(512, 12, generator=generator)
    targets = points[:, :1] + 0.1 * torch.randn(512, 1, generator=generator)
    return list(zip(points.split(32), (scale * targets + shift).split(32), strict=True))


def regressor() -> nn.Module:
    return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Linear(24, 1))


@pytest.mark.parametrize(("shift", "scale", "expected"), [(500.0, 50.0, True), (0.0, 1.0, False)])
def test_standardised_targets_help_where_they_are_far_off(
    shift: float, scale: float, expected: bool
) -> None:
    torch.manual_seed(0)
    adam = OptimizerSpec(name="Adam", lr=1e-3)
    given = subject_of(regressor(), numbers(shift, scale), "mse_loss", factory=regressor,
                       optimizer=adam)  # fmt: skip
    before, after = tried(TreatmentOver(retargeted=True), given)
    assert better((before, after)) is expected
    if expected:
        variance = (50.0**2) * 1.01
        assert after.scores.mean() < variance < before.scores.mean()


def test_classes_can_t_be_standardised() -> None:
    answer = treated(TreatmentOver(retargeted=True), subject())
    assert isinstance(answer, Unavailable)
    assert "standardised" in answer.reason


def test_without_a_decay_that_drowns_the_data_copies_learn() -> None:
    drowned = OptimizerSpec(name="SGD", lr=0.05, momentum=0.9, weight_decay=1.0)  # type: ignore[call-arg]
    assert better(tried(TreatmentOver(weight_decay=0.0), subject(optimizer=drowned)))
    assert gain(tried(TreatmentOver(weight_decay=0.0), subject())) == 0


def test_a_setting_of_the_optimizer_put_right_helps_where_it_was_off() -> None:
    slow = OptimizerSpec(name="Adam", lr=0.01, eps=10.0)  # type: ignore[call-arg]
    assert better(tried(TreatmentOver(setting="eps=1e-8"), subject(optimizer=slow)))
    swapped = OptimizerSpec(name="Adam", lr=0.01, betas=[0.999, 0.9])  # type: ignore[call-arg]
    usual = TreatmentOver(setting="betas=(0.9, 0.999)")
    _, mended = tried(usual, subject(optimizer=swapped))
    plain, _ = tried(usual, subject(optimizer=OptimizerSpec(name="Adam", lr=0.01)))
    assert np.array_equal(mended.scores, plain.scores)
    assert gain(tried(TreatmentOver(setting="eps=1e-8"), subject())) == 0


def test_without_a_dropout_of_nearly_everything_copies_learn() -> None:
    def dropping(share: float = 0.97) -> nn.Module:
        return nn.Sequential(nn.Linear(12, 24), nn.ReLU(), nn.Dropout(share), nn.Linear(24, 4))

    slow = OptimizerSpec(name="SGD", lr=0.01, momentum=0.9)
    request = TreatmentOver(no_dropout=True)
    assert better(tried(request, subject(dropping, optimizer=slow)))
    assert gain(tried(request, subject(optimizer=slow))) == 0


def test_weights_drawn_anew_mend_an_initialisation_that_is_far_too_large() -> None:
    def saturated(size: float = 20.0) -> nn.Module:
        model = nn.Sequential(nn.Linear(12, 24), nn.Tanh(), nn.Linear(24, 24), nn.Tanh(),
                              nn.Linear(24, 4))  # fmt: skip
        for layer in (model[0], model[2]):
            nn.init.normal_(layer.weight, 0.0, size)
        return model

    slow = OptimizerSpec(name="SGD", lr=0.02, momentum=0.9)
    request = TreatmentOver(reset=True)
    hard = clouds(0.3)
    assert better(tried(request, subject(saturated, hard, slow)))
    assert not better(tried(request, subject(batches=hard, optimizer=slow)))


def test_a_trial_is_named_by_what_it_changes() -> None:
    assert TreatmentOver().key == "TreatmentOver(start='fresh')"
    told = TreatmentOver(start="checkpoint", anew="a.bias", steps=9).key
    assert told == "TreatmentOver(start='checkpoint', anew='a.bias', steps=9)"


def test_training_on_is_compared_with_the_checkpoint_as_it_is() -> None:
    request = TreatmentOver(start="checkpoint")
    before, after = tried(request, subject())
    assert before.what == "of the checkpoint"
    assert before.scores.shape[0] == 1
    assert better((before, after))


def test_treatments_of_one_start_see_the_same_batches_from_the_same_weights() -> None:
    """A remedy that changes nothing leaves every score as it is, bit for bit."""
    one, other = tried(TreatmentOver(clip_norm=1e9), subject())
    np.testing.assert_array_equal(one.scores, other.scores)
    declared = tried(TreatmentOver(rate=SGD.lr), subject())
    np.testing.assert_array_equal(declared[0].scores, declared[1].scores)


@pytest.mark.parametrize(
    ("flops", "told"), [(1e3, "60 steps"), (3e6, "on 25% of each batch"), (1e12, None)]
)
def test_a_costly_model_gets_smaller_batches_then_none(flops: float, told: str | None) -> None:
    given = subject()
    costly = replace(given, facts=replace(given.facts, flops=int(flops * 100)))
    answer = treated(replace(TreatmentOver(), seeds=3), costly)
    if told is None:
        assert isinstance(answer, Unavailable)
        assert "too costly" in answer.reason
    else:
        assert isinstance(answer, Tried)
        assert told in answer.what
