"""Types and annotations in settings are read; making a type of one's own is not."""

import optparse
import typing
from pathlib import Path
from typing import Any

import pytest
import torch

from auditor.core.errors import InputError
from auditor.opening.process import looked_into
from auditor.opening.state_dicts import state_dict_of


class Makes:
    """Unpickling this calls `type` with a base and attributes."""

    def __init__(self, *made_of: Any) -> None:
        self.made_of = made_of

    def __reduce__(self) -> Any:
        return type, self.made_of


@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize(
    "beside",
    [typing.Optional[int], type(None), optparse.Values({"lr": 0.1})],  # noqa: UP045
)
def test_what_settings_hold_is_read(beside: Any, protocol: int, tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"model": {"w": torch.ones(2)}, "is": beside}, path, pickle_protocol=protocol)
    with looked_into(path) as opened:
        assert state_dict_of(opened.contents.tree, None)[0].key == "model"


def test_a_type_made_before_the_one_of_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "w.pt"
    torch.save({"w": torch.ones(2), "is": [Makes("X", (), {}), type(None)]}, path)
    with pytest.raises(InputError, match=r"builtins\.type"), looked_into(path):
        pass
