"""Each rule on the settings of an optimizer, on both sides of where it begins to hold."""

from typing import Any

import pytest

from auditor.observations.optimizer_rule import Known
from auditor.observations.optimizer_rules import RULES, hits_of, mended

ADAM = {"lr": 1e-3, "betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0}
SGD = {"lr": 0.1, "momentum": 0.9, "dampening": 0.0, "weight_decay": 0.0, "nesterov": False}

HALF = 5.96e-8
"""The smallest positive number of float16."""


def levels(kind: str, values: Any, **known: Any) -> dict[str, str]:
    return {h.rule.setting: h.rule.level for h in hits_of(Known(kind, values, **known))}


@pytest.mark.parametrize(
    ("kind", "base", "change", "level"),
    [
        ("Adam", ADAM, {"maximize": True}, "broken"),
        ("Adam", ADAM, {"maximize": False}, None),
        ("Lion", {"lr": 1e-4}, {"maximize": True}, "broken"),
        ("SGD", SGD, {"lr": -0.1}, "broken"),
        ("SGD", SGD, {"lr": 1e-4, "momentum": 0.0}, "suspect"),
        ("SGD", SGD, {"lr": 9e-5}, "suspect"),
        ("SGD", SGD, {"lr": 1.1e-4}, None),
        ("Adam", ADAM, {"lr": 0.1}, "suspect"),
        ("Adam", ADAM, {"lr": 0.09}, None),
        ("Adadelta", {"rho": 0.9, "eps": 1e-6}, {"lr": 1e-3}, "suspect"),
        ("Adadelta", {"rho": 0.9, "eps": 1e-6}, {"lr": 0.1}, None),
        ("Adam", ADAM, {"eps": 1.0}, "suspect"),
        ("AdamW", ADAM, {"eps": 1e-3}, "suspect"),
        ("Adam", ADAM, {"eps": 9e-4}, "info"),
        ("Adam", ADAM, {"eps": 1e-6}, "info"),
        ("Adam", ADAM, {"eps": 9e-7}, None),
        ("Adam", ADAM, {"eps": 0.0}, "broken"),
        ("RMSprop", {"lr": 1e-3, "alpha": 0.99}, {"eps": 0.1}, "suspect"),
        ("Adam", ADAM, {"betas": (0.999, 0.9)}, "broken"),
        ("Adam", ADAM, {"betas": (0.95, 0.9025)}, "broken"),
        ("Adam", ADAM, {"betas": (0.95, 0.91)}, None),
        ("Adam", ADAM, {"betas": (1.0, 0.999)}, "broken"),
        ("Adam", ADAM, {"betas": (0.9, 1.0)}, "broken"),
        ("Adam", ADAM, {"betas": (0.99, 0.999)}, "suspect"),
        ("Adam", ADAM, {"betas": (0.98, 0.999)}, None),
        ("Adam", ADAM, {"betas": (0.5, 0.4)}, "suspect"),
        ("Adam", ADAM, {"betas": (0.5, 0.5)}, None),
        ("Adam", ADAM, {"betas": (0.0, 0.999)}, "info"),
        ("Adam", ADAM, {"weight_decay": 1e-4}, "info"),
        ("Adam", ADAM, {"weight_decay": 0.05}, "suspect"),
        ("Adam", ADAM, {"weight_decay": 0.05, "decoupled_weight_decay": True}, None),
        ("AdamW", ADAM, {"weight_decay": 0.1}, None),
        ("AdamW", ADAM, {"weight_decay": 9.0}, None),
        ("AdamW", ADAM, {"weight_decay": 11.0}, "suspect"),
        ("AdamW", ADAM, {"weight_decay": 190.0}, "suspect"),
        ("AdamW", ADAM, {"weight_decay": 210.0}, "broken"),
        ("SGD", SGD, {"weight_decay": 5e-4}, None),
        ("SGD", SGD, {"weight_decay": 0.02}, "suspect"),
        ("SGD", SGD, {"weight_decay": 1.1}, "broken"),
        ("SGD", SGD, {"momentum": 0.999}, "broken"),
        ("SGD", SGD, {"momentum": 1.0}, "broken"),
        ("SGD", SGD, {"momentum": -0.1}, "broken"),
        ("RMSprop", {"lr": 1e-3, "alpha": 0.99}, {"momentum": 0.999}, "broken"),
        ("SGD", SGD, {"momentum": 0.99}, "info"),
        ("SGD", SGD, {"momentum": 0.97}, None),
        ("SGD", SGD, {"momentum": 0.0}, "info"),
        ("SGD", SGD, {"dampening": 1.0}, "broken"),
        ("SGD", SGD, {"dampening": 0.5}, "info"),
        ("Adagrad", {"lr": 0.01, "eps": 1e-10}, {"lr_decay": 0.1}, "suspect"),
        ("Adagrad", {"lr": 0.01, "eps": 1e-10}, {"lr_decay": 1e-3}, None),
        ("Adagrad", {"lr": 0.01}, {"initial_accumulator_value": 1.0}, "suspect"),
        ("Adagrad", {"lr": 0.01}, {"initial_accumulator_value": 0.1}, None),
        ("RMSprop", {"lr": 1e-3}, {"alpha": 0.4}, "suspect"),
        ("RMSprop", {"lr": 1e-3}, {"alpha": 0.99995}, "suspect"),
        ("RMSprop", {"lr": 1e-3}, {"alpha": 0.9}, None),
        ("Adam", ADAM, {"amsgrad": True}, "info"),
        ("Adam", ADAM, {"amsgrad": False}, None),
    ],
)
def test_a_setting(kind: str, base: Any, change: Any, level: str | None) -> None:
    (setting,) = list(change)[:1]
    found = levels(kind, {**base, **change})
    assert found.get(setting) == level
    assert not set(found) - {setting, "momentum"} or kind == "SGD"


def test_everyday_settings_meet_no_rule() -> None:
    for kind in ("Adam", "AdamW", "NAdam", "RAdam"):
        assert not levels(kind, ADAM, updates=100_000)
    assert not levels("AdamW", {**ADAM, "weight_decay": 0.1, "betas": (0.9, 0.95)})
    assert not levels("AdamW", {**ADAM, "betas": (0.9, 0.98), "eps": 1e-9})
    assert not levels("SGD", {**SGD, "weight_decay": 1e-4, "nesterov": True})
    assert not levels("Muon", {"lr": 0.02, "weight_decay": 0.1, "momentum": 0.95, "nesterov": True})
    assert not levels("Adafactor", {"lr": 0.01, "beta2_decay": -0.8, "eps": (None, 1e-3)})


@pytest.mark.parametrize(
    ("values", "wrong"),
    [
        ({"nesterov": True, "momentum": 0.0}, True),
        ({"nesterov": True, "dampening": 0.1}, True),
        ({"nesterov": True}, False),
    ],
)
def test_nesterov_wants_momentum_without_dampening(values: Any, wrong: bool) -> None:
    assert (levels("SGD", {**SGD, **values}).get("nesterov") == "broken") == wrong


def test_what_depends_on_the_length_of_training() -> None:
    slow = {**ADAM, "betas": (0.9, 0.9999)}
    assert levels("Adam", slow, updates=9_000) == {"betas": "info"}
    assert not levels("Adam", slow, updates=11_000)
    assert not levels("Adam", slow)
    tiny = {**SGD, "lr": 5e-5}
    assert levels("SGD", tiny, updates=10_000) == {"lr": "suspect"}
    assert not levels("SGD", tiny, updates=30_000)
    decaying = {"lr": 0.01, "lr_decay": 0.01}
    assert levels("Adagrad", decaying, updates=1_000) == {"lr_decay": "suspect"}
    assert not levels("Adagrad", decaying, updates=800)
    assert levels("Rprop", {"lr": 0.01}, per_epoch=20) == {"optimizer": "info"}
    assert not levels("Rprop", {"lr": 0.01}, per_epoch=1)
    assert levels("LBFGS", {"lr": 1.0}, per_epoch=20) == {"optimizer": "info"}


def test_an_epsilon_that_the_precision_does_not_hold() -> None:
    assert levels("Adam", ADAM, least=HALF) == {"eps": "broken"}
    assert levels("Adam", {**ADAM, "eps": 1e-7}, least=HALF) == {}
    (hit,) = hits_of(Known("Adam", ADAM, least=HALF))
    assert mended([hit]) == {"eps": 1e-4}


def test_the_first_rate_counts_where_a_schedule_changed_it() -> None:
    assert not levels("SGD", {**SGD, "lr": 0.0, "initial_lr": 0.1})
    assert levels("SGD", {**SGD, "lr": 0.1, "initial_lr": 1e-5}) == {"lr": "suspect"}


def test_only_what_has_to_prove_itself_is_mended() -> None:
    hits = hits_of(Known("Adam", {**ADAM, "eps": 0.1, "weight_decay": 1e-3, "amsgrad": True}))
    assert {h.rule.level for h in hits} == {"suspect", "info"}
    assert mended(hits) == {"eps": 1e-8}


def test_every_rule_says_where_it_is_from_and_reads_as_a_sentence() -> None:
    for rule in RULES:
        assert rule.source
        assert rule.advised
        assert rule.level != "broken" or rule.mend or rule.setting == "lr", rule
        assert not rule.says.endswith("."), rule
    (hit,) = hits_of(Known("SGD", {**SGD, "momentum": 0.999}))
    assert hit.named == "momentum=0.999"
    assert "some 1000 gradients" in hit.text
