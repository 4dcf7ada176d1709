"""Which of the things in a checkpoint are the weights."""

from typing import Any

import pytest

from auditor.core.errors import InputError
from auditor.opening.contents import Opaque, TensorAt
from auditor.opening.state_dicts import state_dict_of, state_dicts_in

T = TensorAt("float32", (2, 2), (2, 1), 0, 0)
W = {"fc.weight": T, "fc.bias": T}
ADAM = {"state": {0: {"step": T, "exp_avg": T}}, "param_groups": [{"lr": 0.1, "params": [0]}]}


@pytest.mark.parametrize(
    ("tree", "key"),
    [
        (W, ""),
        (W | {"fc._extra_state": None}, ""),
        (W | {"conv.bias": None}, ""),
        ({"state_dict": W, "epoch": 3, "best": T}, "state_dict"),
        ({"model": W, "optimizer": ADAM, "rng_state": {"cpu": T}}, "model"),
        ({"model_state_dict": W, "optimizer_state_dict": ADAM}, "model_state_dict"),
        ({"net": W, "acc": 0.9}, "net"),
        ({"mine": W}, "mine"),
        ({"checkpoint": {"model": W, "epoch": 1}}, "checkpoint.model"),
        ({"model": {"state_dict": W}}, "model.state_dict"),
        ({"state_dict": W, "state_dict_ema": W}, "state_dict"),
        ({"state_dict_ema": W, "state_dict": W}, "state_dict"),
        ({"model": None, "ema": Opaque("yolo.Model", W)}, "ema"),
        ({"model": Opaque("yolo.Model", W), "ema": None}, "model"),
        (Opaque("net.Net", W), ""),
        ({"best": W, "model": W}, "model"),
        ({"exp": {"a.b": W}}, "exp.a.b"),
    ],
)
def test_the_weights_are_found(tree: Any, key: str) -> None:
    chosen, _ = state_dict_of(tree, None)
    assert (chosen.key, chosen.tensors) == (key, 2)
    assert state_dict_of(tree, key)[0].key == key


def test_an_average_stands_beside_the_raw_weights() -> None:
    tree = {"state_dict": W, "model_ema": W, "optimizer": ADAM}
    chosen, others = state_dict_of(tree, None)
    assert chosen.key == "state_dict"
    assert [(other.key, other.averaged) for other in others] == [("model_ema", True)]
    averaged, others = state_dict_of(tree, "model_ema")
    assert averaged.averaged
    assert [other.key for other in others] == ["state_dict"]


@pytest.mark.parametrize(
    ("tree", "key", "words"),
    [
        ({"generator": W, "discriminator": W}, None, ["generator", "discriminator", "model: {key"]),
        ({"optimizer": ADAM, "epoch": 3}, None, ["no state dict", "optimizer, epoch"]),
        ({}, None, ["is empty"]),
        (T, None, ["a tensor"]),
        ([W], None, ["a list"]),
        (Opaque("net.Net", None), None, ["net.Net"]),
        ({"state_dict": W}, "state_dik", ["did you mean 'state_dict'"]),
        ({"state_dict": W}, "state_dict.fc.weight", ["holds no state dict"]),
        ({"state_dict": W}, "other", ["no 'other'", "it has state_dict"]),
    ],
)
def test_what_is_not_there_is_said(tree: Any, key: str | None, words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        state_dict_of(tree, key)
    assert all(word in str(caught.value) for word in words), caught.value


def test_no_tree_takes_long() -> None:
    tree: Any = W
    for _ in range(60):
        tree = {"a": tree, "b": tree}
    assert state_dicts_in(tree) == ()
    assert len(state_dicts_in({f"m{i}": W for i in range(10_000)})) == 64
