"""What a loader yields, read as inputs and a target."""

from collections import UserDict, namedtuple
from dataclasses import dataclass
from typing import Any

import pytest
import torch
import yaml

from auditor.core.errors import InputError
from auditor.core.spec import BatchSpec, DataSpec
from auditor.intake.batch_paths import adapter_of
from auditor.intake.batch_reading import understood

X, Y, Z = torch.zeros(2, 3), torch.arange(2), torch.ones(2, 1)


@dataclass
class Sample:
    image: Any
    label: Any


@dataclass
class Strange:
    image: Any
    depth: Any


Pair = namedtuple("Pair", ["first", "second"])


@pytest.mark.parametrize(
    ("raw", "args", "kwargs", "target"),
    [
        ((X, Y), (X,), {}, Y),
        ([X, Y], (X,), {}, Y),
        (Pair(X, Y), (X,), {}, Y),
        (((X, Z), Y), (X, Z), {}, Y),
        ({"image": X, "label": Y}, (X,), {}, Y),
        ({"a": X, "b": Z, "target": Y}, (), {"a": X, "b": Z}, Y),
        (UserDict({"input_ids": X, "mask": Z, "labels": Y}), (), {"input_ids": X, "mask": Z}, Y),
        (Sample(X, Y), (X,), {}, Y),
        (X, (X,), {}, X),
        ((X,), (X,), {}, X),
        ({"image": X}, (X,), {}, X),
    ],
)
def test_the_shapes_that_everyone_uses(raw: Any, args: Any, kwargs: Any, target: Any) -> None:
    batch = understood(raw, None, "val")
    assert len(batch.args) == len(args)
    assert all(one is other for one, other in zip(batch.args, args, strict=True))
    assert batch.kwargs.keys() == kwargs.keys()
    assert batch.target is target


def test_a_batch_without_a_tensor_has_nothing_to_tell_apart() -> None:
    with pytest.raises(InputError, match=r"no tensor in a batch that is list\(an int, an int"):
        understood([1, 2, 3], None, "val")


@pytest.mark.parametrize(
    ("raw", "proposed"),
    [
        ((X, Y, Z), {"inputs": [0, 1], "target": 2}),
        ({"image": X, "mask": Z}, {"inputs": "image", "target": "mask"}),
        ({"image": X, "label": Y, "target": Z}, {"inputs": "image", "target": "label"}),
        (Strange(X, Z), {"inputs": "image", "target": "depth"}),
        ({"in": {"x": X}, "out": [Y, Z]}, {"inputs": ["in.x", "out.0"], "target": "out.1"}),
    ],
)
def test_what_is_ambiguous_is_refused_with_a_spec_to_paste(raw: Any, proposed: Any) -> None:
    with pytest.raises(InputError, match="can't tell inputs from target") as caught:
        understood(raw, None, "val")
    lines = str(caught.value).splitlines()
    assert len(lines) <= 5
    pasted = DataSpec.model_validate(yaml.safe_load(lines[2])["data"])
    assert pasted.batch == BatchSpec.model_validate(proposed)
    assert understood(raw, adapter_of(pasted.batch), "val").target is not None


@pytest.mark.parametrize(
    ("raw", "spec", "args", "kwargs", "target"),
    [
        ((X, Y, Z), {"inputs": [0, 2], "target": 1}, (X, Z), {}, Y),
        ({"a": {"b": X}, "c": [Y, Z]}, {"inputs": "a.b", "target": "c.0"}, (X,), {}, Y),
        ({"a": X, "b": Y}, {"inputs": {"x": "a"}, "target": "b"}, (), {"x": X}, Y),
        (Strange(X, Y), {"inputs": "image", "target": "depth"}, (X,), {}, Y),
        ({0: X, 1: Y}, {"inputs": 0, "target": 1}, (X,), {}, Y),
    ],
)
def test_places_in_the_spec(raw: Any, spec: Any, args: Any, kwargs: Any, target: Any) -> None:
    batch = understood(raw, adapter_of(BatchSpec.model_validate(spec)), "val")
    assert all(one is other for one, other in zip(batch.args, args, strict=True))
    assert all(batch.kwargs[name] is value for name, value in kwargs.items())
    assert batch.target is target


@pytest.mark.parametrize(
    ("raw", "spec", "words"),
    [
        ({"image": X, "y": Y}, {"inputs": "imag", "target": "y"}, "did you mean 'image'"),
        ((X, Y), {"inputs": 0, "target": 5}, "there is 0, 1"),
        (Strange(X, Y), {"inputs": "__class__", "target": "depth"}, "data.batch.inputs"),
    ],
)
def test_a_place_that_is_not_there_is_named(raw: Any, spec: Any, words: str) -> None:
    with pytest.raises(InputError, match=words):
        understood(raw, adapter_of(BatchSpec.model_validate(spec)), "val")
