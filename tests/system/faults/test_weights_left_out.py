"""Layers that the checkpoint does not fill, which the spec allows."""

from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from auditor.api import audit_spec
from auditor.commands.progress import Silent
from auditor.core.errors import InputError
from auditor.core.finding import Finding
from auditor.core.spec_file import spec_from
from auditor.core.verdict import Verdict
from tests.subjects import SAMPLES

FAMILIES = ("digits_cnn", "names_rnn")


def found(sample: str, change: Any, allow: dict[str, list[str]], tmp_path: Path) -> Finding:
    folder = SAMPLES / sample
    held = torch.load(next(folder.glob("*.pt")), weights_only=True)
    weights = held.get("state_dict", held.get("model", held))
    change(weights)
    torch.save(weights, tmp_path / "w.pt")
    values = yaml.safe_load((folder / "audit.yaml").read_text())
    values["model"] |= {"checkpoint": str(tmp_path / "w.pt"), "allow": allow, "key": None}
    values["audit"] = {"checks": {"only": ["weights-left-out"]}}
    record = audit_spec(spec_from(values, "test", folder), tmp_path / "out", Silent())
    return next(
        f for section in record.sections for f in section.findings if f.check == "weights-left-out"
    )


@pytest.mark.parametrize("sample", FAMILIES)
def test_an_untrained_head_is_named(sample: str, tmp_path: Path) -> None:
    finding = found(sample, lambda w: w.pop("head.weight"), {"missing": ["head.*"]}, tmp_path)
    assert finding.verdict is Verdict.WARN
    assert [place.name for place in finding.where] == ["head.weight"]


@pytest.mark.parametrize("sample", FAMILIES)
def test_what_the_model_does_without_is_told(sample: str, tmp_path: Path) -> None:
    def more(weights: dict[str, torch.Tensor]) -> None:
        weights["criterion.weight"] = torch.ones(3)

    finding = found(sample, more, {"unexpected": ["criterion.*"]}, tmp_path)
    assert finding.verdict is Verdict.INFO
    assert "criterion.weight" in finding.summary


@pytest.mark.parametrize("sample", FAMILIES)
def test_a_checkpoint_that_fits_is_silent(sample: str, tmp_path: Path) -> None:
    assert found(sample, lambda w: None, {}, tmp_path).verdict is Verdict.PASS


def test_nothing_is_allowed_unasked(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="missing from the checkpoint"):
        found("digits_cnn", lambda w: w.pop("head.weight"), {}, tmp_path)
