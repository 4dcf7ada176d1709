"""The class of a saved optimizer, told by what it keeps."""

from typing import Any

import pytest
import torch

from auditor.intake.optimizer_kinds import kinds_of, slots_of

CLASSES = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True, "weight_decay": 0.1}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True}),
    ("AdamW", {}),
    ("AdamW", {"amsgrad": True}),
    ("NAdam", {}),
    ("RAdam", {}),
    ("Adamax", {}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.9, "centered": True}),
    ("Adadelta", {}),
    ("Adagrad", {}),
    ("Adafactor", {}),
    ("ASGD", {}),
    ("Rprop", {}),
    ("LBFGS", {}),
    ("SparseAdam", {}),
]


def saved(name: str, settings: dict[str, Any], steps: int = 2) -> dict[str, Any]:
    weight = torch.nn.Parameter(torch.ones(4, 3))
    optimizer = getattr(torch.optim, name)([weight], lr=0.01, **settings)
    for _ in range(steps):
        weight.grad = torch.ones(4, 3)
        if name == "SparseAdam":
            weight.grad = weight.grad.to_sparse()
        optimizer.step(lambda: weight.square().sum())
    return optimizer.state_dict()


@pytest.mark.parametrize(("name", "settings"), CLASSES)
def test_each_class_of_torch_is_told(name: str, settings: dict[str, Any]) -> None:
    assert kinds_of(saved(name, settings)) == (name,)


@pytest.mark.parametrize("name", ["SGD", "AdamW", "RMSprop", "Adagrad"])
def test_before_the_first_step_the_settings_tell(name: str) -> None:
    assert name in kinds_of(saved(name, {}, steps=0))


def test_an_old_state_does_not_tell_adam_from_adamw() -> None:
    old = saved("AdamW", {})
    del old["param_groups"][0]["decoupled_weight_decay"]
    assert kinds_of(old) == ("Adam", "AdamW")


def test_optimizers_of_other_libraries_are_of_no_class_of_torch() -> None:
    adamw_of_transformers = saved("Adam", {})
    for key in ("amsgrad", "decoupled_weight_decay"):
        del adamw_of_transformers["param_groups"][0][key]
    lion = {
        "state": {0: {"exp_avg": torch.zeros(3)}},
        "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.99), "weight_decay": 0.0, "params": [0]}],
    }
    eight_bit = {
        "state": {0: {"state1": torch.zeros(3), "state2": torch.zeros(3), "step": 1}},
        "param_groups": [{"lr": 1e-4, "betas": (0.9, 0.99), "eps": 1e-8, "params": [0]}],
    }
    assert [kinds_of(one) for one in (adamw_of_transformers, lion, eight_bit)] == [(), (), ()]


@pytest.mark.parametrize(
    "garbage",
    [
        {},
        {"state": 3, "param_groups": [3]},
        {"state": {}, "param_groups": []},
        {"state": {0: 1, "a": {"exp_avg" * 10_000: 1}}, "param_groups": [{1: 2}]},
    ],
)
def test_garbage_is_of_no_class(garbage: dict[str, Any]) -> None:
    assert kinds_of(garbage) == ()
    assert all(len(name) < 100 for name in slots_of(garbage))
